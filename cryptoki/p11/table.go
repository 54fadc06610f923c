package p11

import "github.com/perilune/perilune/cryptoki/ck"

// Kind numbers the requests, so that tables can be arrays.
type Kind uint8

// The kinds, in the order of [Table].
const (
	KindGetInfo Kind = iota
	KindGetSlotList
	KindGetSlotInfo
	KindGetTokenInfo
	KindWaitForSlotEvent
	KindGetMechanismList
	KindGetMechanismInfo
	KindInitToken
	KindInitPIN
	KindSetPIN
	KindOpenSession
	KindCloseSession
	KindCloseAllSessions
	KindGetSessionInfo
	KindGetValidationFlags
	KindSessionCancel
	KindGetOperationState
	KindSetOperationState
	KindLogin
	KindLogout
	KindCreateObject
	KindCopyObject
	KindDestroyObject
	KindGetObjectSize
	KindGetAttributeValue
	KindSetAttributeValue
	KindFindObjectsInit
	KindFindObjects
	KindFindObjectsFinal
	KindBegin
	KindUpdate
	KindDigestKey
	KindFinish
	KindDualUpdate
	KindMessage
	KindEndMessages
	KindGenerateKey
	KindGenerateKeyPair
	KindWrapKey
	KindUnwrapKey
	KindDeriveKey
	KindEncapsulateKey
	KindDecapsulateKey
	KindSeedRandom
	KindGenerateRandom
	KindGetHSMInfo
	KindInitHSM
	KindZeroizeHSM
	KindListHSMPolicies
	KindSetHSMPolicy
	KindListPartitionPolicies
	KindSetPartitionPolicy
	KindCheckHSMPolicies
	KindCheckPartitionPolicies
	KindCreatePartition
	KindDeletePartition
	KindAcceptRestore
	KindCheckRecords
	KindResizePartition
	KindRenamePartition
	KindLabelPartition
	KindClearPartition
	KindListPartitions
	KindListRoles
	KindInitRole
	KindResetRole
	KindExplainRefusal
	KindListProfiles
	KindModifyUsageCount
	KindSetAppID
	KindGetAppID
	KindOpenAppID
	KindCloseAppID
	KindRestartSlot
	KindIsActive
	KindFactoryReset
	KindZeroizePartition
	KindSetCloningDomain
	KindGetObjectUID
	KindGetObjectHandle
	KindCloneAsTargetInit
	KindCloneAsSource
	KindCloneAsTarget
	KindCloneObject
	KindBackupArchive
	KindRestoreArchive
	KindReadArchive
	KindInitAuditor
	KindSetAuditDomain
	KindGetAuditConfig
	KindSetAuditConfig
	KindGetAuditStatus
	KindListAuditFiles
	KindRotateAuditLog
	KindRemoveAuditFiles
	KindVerifyAuditFiles
	KindVerifyAuditRecords
	KindExportAuditSecret
	KindImportAuditSecret
	KindLogExternal
	NumKinds int = iota
)

// Changes says what a request may change.
type Changes uint8

// What requests may change.
const (
	ChangesNothing  Changes = iota // may be repeated and sent anywhere
	ChangesSessions                // the state of sessions of this application
	ChangesToken                   // what is stored
)

// Row describes one request.
type Row struct {
	Kind    Kind
	Name    string
	Changes Changes
}

// Table has a row for every request, at the index of its Kind.
var Table = [NumKinds]Row{
	KindGetInfo:            {KindGetInfo, "GetInfo", ChangesNothing},
	KindGetSlotList:        {KindGetSlotList, "GetSlotList", ChangesNothing},
	KindGetSlotInfo:        {KindGetSlotInfo, "GetSlotInfo", ChangesNothing},
	KindGetTokenInfo:       {KindGetTokenInfo, "GetTokenInfo", ChangesNothing},
	KindWaitForSlotEvent:   {KindWaitForSlotEvent, "WaitForSlotEvent", ChangesNothing},
	KindGetMechanismList:   {KindGetMechanismList, "GetMechanismList", ChangesNothing},
	KindGetMechanismInfo:   {KindGetMechanismInfo, "GetMechanismInfo", ChangesNothing},
	KindInitToken:          {KindInitToken, "InitToken", ChangesToken},
	KindInitPIN:            {KindInitPIN, "InitPIN", ChangesToken},
	KindSetPIN:             {KindSetPIN, "SetPIN", ChangesToken},
	KindOpenSession:        {KindOpenSession, "OpenSession", ChangesSessions},
	KindCloseSession:       {KindCloseSession, "CloseSession", ChangesSessions},
	KindCloseAllSessions:   {KindCloseAllSessions, "CloseAllSessions", ChangesSessions},
	KindGetSessionInfo:     {KindGetSessionInfo, "GetSessionInfo", ChangesNothing},
	KindGetValidationFlags: {KindGetValidationFlags, "GetValidationFlags", ChangesNothing},
	KindSessionCancel:      {KindSessionCancel, "SessionCancel", ChangesSessions},
	KindGetOperationState:  {KindGetOperationState, "GetOperationState", ChangesNothing},
	KindSetOperationState:  {KindSetOperationState, "SetOperationState", ChangesSessions},
	KindLogin:              {KindLogin, "Login", ChangesToken},
	KindLogout:             {KindLogout, "Logout", ChangesSessions},
	KindCreateObject:       {KindCreateObject, "CreateObject", ChangesToken},
	KindCopyObject:         {KindCopyObject, "CopyObject", ChangesToken},
	KindDestroyObject:      {KindDestroyObject, "DestroyObject", ChangesToken},
	KindGetObjectSize:      {KindGetObjectSize, "GetObjectSize", ChangesNothing},
	KindGetAttributeValue:  {KindGetAttributeValue, "GetAttributeValue", ChangesNothing},
	KindSetAttributeValue:  {KindSetAttributeValue, "SetAttributeValue", ChangesToken},
	KindFindObjectsInit:    {KindFindObjectsInit, "FindObjectsInit", ChangesSessions},
	KindFindObjects:        {KindFindObjects, "FindObjects", ChangesSessions},
	KindFindObjectsFinal:   {KindFindObjectsFinal, "FindObjectsFinal", ChangesSessions},
	KindBegin:              {KindBegin, "Begin", ChangesSessions},
	KindUpdate:             {KindUpdate, "Update", ChangesSessions},
	KindDigestKey:          {KindDigestKey, "DigestKey", ChangesSessions},
	KindFinish:             {KindFinish, "Finish", ChangesSessions},
	KindDualUpdate:         {KindDualUpdate, "DualUpdate", ChangesSessions},
	KindMessage:            {KindMessage, "Message", ChangesSessions},
	KindEndMessages:        {KindEndMessages, "EndMessages", ChangesSessions},
	KindGenerateKey:        {KindGenerateKey, "GenerateKey", ChangesToken},
	KindGenerateKeyPair:    {KindGenerateKeyPair, "GenerateKeyPair", ChangesToken},
	KindWrapKey:            {KindWrapKey, "WrapKey", ChangesNothing},
	KindUnwrapKey:          {KindUnwrapKey, "UnwrapKey", ChangesToken},
	KindDeriveKey:          {KindDeriveKey, "DeriveKey", ChangesToken},
	KindEncapsulateKey:     {KindEncapsulateKey, "EncapsulateKey", ChangesToken},
	KindDecapsulateKey:     {KindDecapsulateKey, "DecapsulateKey", ChangesToken},
	KindSeedRandom:         {KindSeedRandom, "SeedRandom", ChangesNothing},
	KindGenerateRandom:     {KindGenerateRandom, "GenerateRandom", ChangesNothing},
	KindGetHSMInfo:         {KindGetHSMInfo, "GetHSMInfo", ChangesNothing},
	KindInitHSM:            {KindInitHSM, "InitHSM", ChangesToken},
	KindZeroizeHSM:         {KindZeroizeHSM, "ZeroizeHSM", ChangesToken},
	KindListHSMPolicies:    {KindListHSMPolicies, "ListHSMPolicies", ChangesNothing},
	KindSetHSMPolicy:       {KindSetHSMPolicy, "SetHSMPolicy", ChangesToken},
	KindCreatePartition:    {KindCreatePartition, "CreatePartition", ChangesToken},
	KindDeletePartition:    {KindDeletePartition, "DeletePartition", ChangesToken},
	KindAcceptRestore:      {KindAcceptRestore, "AcceptRestore", ChangesToken},
	KindCheckRecords:       {KindCheckRecords, "CheckRecords", ChangesNothing},
	KindResizePartition:    {KindResizePartition, "ResizePartition", ChangesToken},
	KindRenamePartition:    {KindRenamePartition, "RenamePartition", ChangesToken},
	KindLabelPartition:     {KindLabelPartition, "LabelPartition", ChangesToken},
	KindClearPartition:     {KindClearPartition, "ClearPartition", ChangesToken},
	KindListPartitions:     {KindListPartitions, "ListPartitions", ChangesNothing},
	KindListRoles:          {KindListRoles, "ListRoles", ChangesNothing},
	KindInitRole:           {KindInitRole, "InitRole", ChangesToken},
	KindResetRole:          {KindResetRole, "ResetRole", ChangesToken},
	KindExplainRefusal:     {KindExplainRefusal, "ExplainRefusal", ChangesNothing},
	KindModifyUsageCount:   {KindModifyUsageCount, "ModifyUsageCount", ChangesToken},
	KindListProfiles:       {KindListProfiles, "ListProfiles", ChangesNothing},
	KindSetAppID:           {KindSetAppID, "SetAppID", ChangesSessions},
	KindGetAppID:           {KindGetAppID, "GetAppID", ChangesNothing},
	KindOpenAppID:          {KindOpenAppID, "OpenAppID", ChangesToken},
	KindCloseAppID:         {KindCloseAppID, "CloseAppID", ChangesToken},
	KindIsActive:           {KindIsActive, "IsActive", ChangesNothing},
	KindRestartSlot:        {KindRestartSlot, "RestartSlot", ChangesToken},
	KindFactoryReset:       {KindFactoryReset, "FactoryReset", ChangesToken},
	KindZeroizePartition:   {KindZeroizePartition, "ZeroizePartition", ChangesToken},
	KindSetCloningDomain:   {KindSetCloningDomain, "SetCloningDomain", ChangesToken},
	KindGetObjectUID:       {KindGetObjectUID, "GetObjectUID", ChangesNothing},
	KindGetObjectHandle:    {KindGetObjectHandle, "GetObjectHandle", ChangesNothing},
	KindCloneAsTargetInit:  {KindCloneAsTargetInit, "CloneAsTargetInit", ChangesSessions},
	KindCloneAsSource:      {KindCloneAsSource, "CloneAsSource", ChangesNothing},
	KindCloneAsTarget:      {KindCloneAsTarget, "CloneAsTarget", ChangesToken},
	KindCloneObject:        {KindCloneObject, "CloneObject", ChangesToken},
	KindBackupArchive:      {KindBackupArchive, "BackupArchive", ChangesNothing},
	KindRestoreArchive:     {KindRestoreArchive, "RestoreArchive", ChangesToken},
	KindReadArchive:        {KindReadArchive, "ReadArchive", ChangesNothing},

	KindListPartitionPolicies:  {KindListPartitionPolicies, "ListPartitionPolicies", ChangesNothing},
	KindSetPartitionPolicy:     {KindSetPartitionPolicy, "SetPartitionPolicy", ChangesToken},
	KindCheckHSMPolicies:       {KindCheckHSMPolicies, "CheckHSMPolicies", ChangesNothing},
	KindCheckPartitionPolicies: {KindCheckPartitionPolicies, "CheckPartitionPolicies", ChangesNothing},
	// The audit log.
	KindInitAuditor:        {KindInitAuditor, "InitAuditor", ChangesToken},
	KindSetAuditDomain:     {KindSetAuditDomain, "SetAuditDomain", ChangesToken},
	KindGetAuditConfig:     {KindGetAuditConfig, "GetAuditConfig", ChangesNothing},
	KindSetAuditConfig:     {KindSetAuditConfig, "SetAuditConfig", ChangesToken},
	KindGetAuditStatus:     {KindGetAuditStatus, "GetAuditStatus", ChangesNothing},
	KindListAuditFiles:     {KindListAuditFiles, "ListAuditFiles", ChangesNothing},
	KindRotateAuditLog:     {KindRotateAuditLog, "RotateAuditLog", ChangesToken},
	KindRemoveAuditFiles:   {KindRemoveAuditFiles, "RemoveAuditFiles", ChangesToken},
	KindVerifyAuditFiles:   {KindVerifyAuditFiles, "VerifyAuditFiles", ChangesNothing},
	KindVerifyAuditRecords: {KindVerifyAuditRecords, "VerifyAuditRecords", ChangesNothing},
	KindExportAuditSecret:  {KindExportAuditSecret, "ExportAuditSecret", ChangesToken},
	KindImportAuditSecret:  {KindImportAuditSecret, "ImportAuditSecret", ChangesToken},
	KindLogExternal:        {KindLogExternal, "LogExternal", ChangesToken},
}

// String is the request's name.
func (k Kind) String() string {
	if int(k) < len(Table) {
		return Table[k].Name
	}
	return "unknown request"
}

// The kind of every request, and the type of its reply.
func (*GetInfo) Kind() Kind                         { return KindGetInfo }
func (*GetInfo) returns(ck.Info)                    {}
func (*GetSlotList) Kind() Kind                     { return KindGetSlotList }
func (*GetSlotList) returns(SlotList)               {}
func (*GetSlotInfo) Kind() Kind                     { return KindGetSlotInfo }
func (*GetSlotInfo) returns(ck.SlotInfo)            {}
func (*GetTokenInfo) Kind() Kind                    { return KindGetTokenInfo }
func (*GetTokenInfo) returns(ck.TokenInfo)          {}
func (*WaitForSlotEvent) Kind() Kind                { return KindWaitForSlotEvent }
func (*WaitForSlotEvent) returns(SlotEvent)         {}
func (*GetMechanismList) Kind() Kind                { return KindGetMechanismList }
func (*GetMechanismList) returns(MechanismList)     {}
func (*GetMechanismInfo) Kind() Kind                { return KindGetMechanismInfo }
func (*GetMechanismInfo) returns(ck.MechanismInfo)  {}
func (*InitToken) Kind() Kind                       { return KindInitToken }
func (*InitToken) returns(None)                     {}
func (*InitPIN) Kind() Kind                         { return KindInitPIN }
func (*InitPIN) returns(None)                       {}
func (*SetPIN) Kind() Kind                          { return KindSetPIN }
func (*SetPIN) returns(None)                        {}
func (*OpenSession) Kind() Kind                     { return KindOpenSession }
func (*OpenSession) returns(Session)                {}
func (*CloseSession) Kind() Kind                    { return KindCloseSession }
func (*CloseSession) returns(None)                  {}
func (*CloseAllSessions) Kind() Kind                { return KindCloseAllSessions }
func (*CloseAllSessions) returns(None)              {}
func (*GetSessionInfo) Kind() Kind                  { return KindGetSessionInfo }
func (*GetSessionInfo) returns(ck.SessionInfo)      {}
func (*SessionCancel) Kind() Kind                   { return KindSessionCancel }
func (*SessionCancel) returns(None)                 {}
func (*GetOperationState) Kind() Kind               { return KindGetOperationState }
func (*GetOperationState) returns(Length)           {}
func (*SetOperationState) Kind() Kind               { return KindSetOperationState }
func (*SetOperationState) returns(None)             {}
func (*Login) Kind() Kind                           { return KindLogin }
func (*Login) returns(None)                         {}
func (*Logout) Kind() Kind                          { return KindLogout }
func (*Logout) returns(None)                        {}
func (*CreateObject) Kind() Kind                    { return KindCreateObject }
func (*CreateObject) returns(Handle)                {}
func (*CopyObject) Kind() Kind                      { return KindCopyObject }
func (*CopyObject) returns(Handle)                  {}
func (*DestroyObject) Kind() Kind                   { return KindDestroyObject }
func (*DestroyObject) returns(None)                 {}
func (*GetObjectSize) Kind() Kind                   { return KindGetObjectSize }
func (*GetObjectSize) returns(Size)                 {}
func (*GetAttributeValue) Kind() Kind               { return KindGetAttributeValue }
func (*GetAttributeValue) returns(Attributes)       {}
func (*SetAttributeValue) Kind() Kind               { return KindSetAttributeValue }
func (*SetAttributeValue) returns(None)             {}
func (*FindObjectsInit) Kind() Kind                 { return KindFindObjectsInit }
func (*FindObjectsInit) returns(None)               {}
func (*FindObjects) Kind() Kind                     { return KindFindObjects }
func (*FindObjects) returns(Handles)                {}
func (*FindObjectsFinal) Kind() Kind                { return KindFindObjectsFinal }
func (*FindObjectsFinal) returns(None)              {}
func (*Begin) Kind() Kind                           { return KindBegin }
func (*Begin) returns(None)                         {}
func (*Update) Kind() Kind                          { return KindUpdate }
func (*Update) returns(Length)                      {}
func (*DigestKey) Kind() Kind                       { return KindDigestKey }
func (*DigestKey) returns(None)                     {}
func (*Finish) Kind() Kind                          { return KindFinish }
func (*Finish) returns(Length)                      {}
func (*DualUpdate) Kind() Kind                      { return KindDualUpdate }
func (*DualUpdate) returns(Length)                  {}
func (*Message) Kind() Kind                         { return KindMessage }
func (*Message) returns(Length)                     {}
func (*EndMessages) Kind() Kind                     { return KindEndMessages }
func (*EndMessages) returns(None)                   {}
func (*GenerateKey) Kind() Kind                     { return KindGenerateKey }
func (*GenerateKey) returns(Handle)                 {}
func (*GenerateKeyPair) Kind() Kind                 { return KindGenerateKeyPair }
func (*GenerateKeyPair) returns(KeyPair)            {}
func (*WrapKey) Kind() Kind                         { return KindWrapKey }
func (*WrapKey) returns(Length)                     {}
func (*UnwrapKey) Kind() Kind                       { return KindUnwrapKey }
func (*UnwrapKey) returns(Handle)                   {}
func (*DeriveKey) Kind() Kind                       { return KindDeriveKey }
func (*DeriveKey) returns(Handle)                   {}
func (*EncapsulateKey) Kind() Kind                  { return KindEncapsulateKey }
func (*EncapsulateKey) returns(Encapsulated)        {}
func (*DecapsulateKey) Kind() Kind                  { return KindDecapsulateKey }
func (*DecapsulateKey) returns(Handle)              {}
func (*GetValidationFlags) Kind() Kind              { return KindGetValidationFlags }
func (*GetValidationFlags) returns(ValidationFlags) {}
func (*SeedRandom) Kind() Kind                      { return KindSeedRandom }
func (*SeedRandom) returns(None)                    {}
func (*GenerateRandom) Kind() Kind                  { return KindGenerateRandom }
func (*GenerateRandom) returns(None)                {}
func (*GetHSMInfo) Kind() Kind                      { return KindGetHSMInfo }
func (*GetHSMInfo) returns(HSMInfo)                 {}
func (*InitHSM) Kind() Kind                         { return KindInitHSM }
func (*InitHSM) returns(None)                       {}
func (*ZeroizeHSM) Kind() Kind                      { return KindZeroizeHSM }
func (*ZeroizeHSM) returns(None)                    {}
func (*ListHSMPolicies) Kind() Kind                 { return KindListHSMPolicies }
func (*ListHSMPolicies) returns(PolicyList)         {}
func (*SetHSMPolicy) Kind() Kind                    { return KindSetHSMPolicy }
func (*SetHSMPolicy) returns(None)                  {}
func (*CreatePartition) Kind() Kind                 { return KindCreatePartition }
func (*CreatePartition) returns(PartitionInfo)      {}
func (*DeletePartition) Kind() Kind                 { return KindDeletePartition }
func (*DeletePartition) returns(None)               {}
func (*AcceptRestore) Kind() Kind                   { return KindAcceptRestore }
func (*AcceptRestore) returns(None)                 {}
func (*CheckRecords) Kind() Kind                    { return KindCheckRecords }
func (*CheckRecords) returns(RecordReport)          {}
func (*ResizePartition) Kind() Kind                 { return KindResizePartition }
func (*ResizePartition) returns(PartitionInfo)      {}
func (*RenamePartition) Kind() Kind                 { return KindRenamePartition }
func (*RenamePartition) returns(None)               {}
func (*LabelPartition) Kind() Kind                  { return KindLabelPartition }
func (*LabelPartition) returns(None)                {}
func (*ClearPartition) Kind() Kind                  { return KindClearPartition }
func (*ClearPartition) returns(Cleared)             {}
func (*ListPartitions) Kind() Kind                  { return KindListPartitions }
func (*ListPartitions) returns(PartitionList)       {}
func (*ListRoles) Kind() Kind                       { return KindListRoles }
func (*ListRoles) returns(RoleList)                 {}
func (*InitRole) Kind() Kind                        { return KindInitRole }
func (*InitRole) returns(None)                      {}
func (*ResetRole) Kind() Kind                       { return KindResetRole }
func (*ResetRole) returns(None)                     {}
func (*ExplainRefusal) Kind() Kind                  { return KindExplainRefusal }
func (*ModifyUsageCount) Kind() Kind                { return KindModifyUsageCount }
func (*ModifyUsageCount) returns(None)              {}
func (*ListProfiles) Kind() Kind                    { return KindListProfiles }
func (*ListProfiles) returns(ProfileList)           {}
func (*ExplainRefusal) returns(Explanation)         {}
func (*FactoryReset) Kind() Kind                    { return KindFactoryReset }
func (*FactoryReset) returns(None)                  {}
func (*ZeroizePartition) Kind() Kind                { return KindZeroizePartition }
func (*ZeroizePartition) returns(None)              {}
func (*SetCloningDomain) Kind() Kind                { return KindSetCloningDomain }
func (*SetCloningDomain) returns(None)              {}
func (*GetObjectUID) Kind() Kind                    { return KindGetObjectUID }
func (*GetObjectUID) returns(ObjectUID)             {}
func (*GetObjectHandle) Kind() Kind                 { return KindGetObjectHandle }
func (*GetObjectHandle) returns(Handle)             {}
func (*CloneAsTargetInit) Kind() Kind               { return KindCloneAsTargetInit }
func (*CloneAsTargetInit) returns(ClonePart)        {}
func (*CloneAsSource) Kind() Kind                   { return KindCloneAsSource }
func (*CloneAsSource) returns(ClonePart)            {}
func (*CloneAsTarget) Kind() Kind                   { return KindCloneAsTarget }
func (*CloneAsTarget) returns(Handle)               {}
func (*CloneObject) Kind() Kind                     { return KindCloneObject }
func (*CloneObject) returns(Handle)                 {}
func (*BackupArchive) Kind() Kind                   { return KindBackupArchive }
func (*BackupArchive) returns(ArchiveResult)        {}
func (*RestoreArchive) Kind() Kind                  { return KindRestoreArchive }
func (*RestoreArchive) returns(ArchiveResult)       {}
func (*ReadArchive) Kind() Kind                     { return KindReadArchive }
func (*ReadArchive) returns(ArchiveResult)          {}

func (*ListPartitionPolicies) Kind() Kind              { return KindListPartitionPolicies }
func (*ListPartitionPolicies) returns(PolicyList)      {}
func (*SetPartitionPolicy) Kind() Kind                 { return KindSetPartitionPolicy }
func (*SetPartitionPolicy) returns(None)               {}
func (*CheckHSMPolicies) Kind() Kind                   { return KindCheckHSMPolicies }
func (*CheckHSMPolicies) returns(PolicyVerdicts)       {}
func (*CheckPartitionPolicies) Kind() Kind             { return KindCheckPartitionPolicies }
func (*CheckPartitionPolicies) returns(PolicyVerdicts) {}

// On is the session of a request that names one: see [OnSession].
func (q *InitPIN) On() ck.SessionHandle            { return q.Session }
func (q *SetPIN) On() ck.SessionHandle             { return q.Session }
func (q *CloseSession) On() ck.SessionHandle       { return q.Session }
func (q *GetSessionInfo) On() ck.SessionHandle     { return q.Session }
func (q *SessionCancel) On() ck.SessionHandle      { return q.Session }
func (q *GetOperationState) On() ck.SessionHandle  { return q.Session }
func (q *SetOperationState) On() ck.SessionHandle  { return q.Session }
func (q *Login) On() ck.SessionHandle              { return q.Session }
func (q *Logout) On() ck.SessionHandle             { return q.Session }
func (q *CreateObject) On() ck.SessionHandle       { return q.Session }
func (q *CopyObject) On() ck.SessionHandle         { return q.Session }
func (q *DestroyObject) On() ck.SessionHandle      { return q.Session }
func (q *GetObjectSize) On() ck.SessionHandle      { return q.Session }
func (q *GetAttributeValue) On() ck.SessionHandle  { return q.Session }
func (q *SetAttributeValue) On() ck.SessionHandle  { return q.Session }
func (q *FindObjectsInit) On() ck.SessionHandle    { return q.Session }
func (q *FindObjects) On() ck.SessionHandle        { return q.Session }
func (q *FindObjectsFinal) On() ck.SessionHandle   { return q.Session }
func (q *Begin) On() ck.SessionHandle              { return q.Session }
func (q *Update) On() ck.SessionHandle             { return q.Session }
func (q *DigestKey) On() ck.SessionHandle          { return q.Session }
func (q *Finish) On() ck.SessionHandle             { return q.Session }
func (q *DualUpdate) On() ck.SessionHandle         { return q.Session }
func (q *Message) On() ck.SessionHandle            { return q.Session }
func (q *EndMessages) On() ck.SessionHandle        { return q.Session }
func (q *GenerateKey) On() ck.SessionHandle        { return q.Session }
func (q *GenerateKeyPair) On() ck.SessionHandle    { return q.Session }
func (q *WrapKey) On() ck.SessionHandle            { return q.Session }
func (q *UnwrapKey) On() ck.SessionHandle          { return q.Session }
func (q *DeriveKey) On() ck.SessionHandle          { return q.Session }
func (q *EncapsulateKey) On() ck.SessionHandle     { return q.Session }
func (q *DecapsulateKey) On() ck.SessionHandle     { return q.Session }
func (q *GetValidationFlags) On() ck.SessionHandle { return q.Session }
func (q *SeedRandom) On() ck.SessionHandle         { return q.Session }
func (q *GenerateRandom) On() ck.SessionHandle     { return q.Session }
func (q *SetHSMPolicy) On() ck.SessionHandle       { return q.Session }
func (q *CreatePartition) On() ck.SessionHandle    { return q.Session }
func (q *DeletePartition) On() ck.SessionHandle    { return q.Session }
func (q *AcceptRestore) On() ck.SessionHandle      { return q.Session }
func (q *ResizePartition) On() ck.SessionHandle    { return q.Session }
func (q *RenamePartition) On() ck.SessionHandle    { return q.Session }
func (q *LabelPartition) On() ck.SessionHandle     { return q.Session }
func (q *ClearPartition) On() ck.SessionHandle     { return q.Session }
func (q *InitRole) On() ck.SessionHandle           { return q.Session }
func (q *ResetRole) On() ck.SessionHandle          { return q.Session }
func (q *ModifyUsageCount) On() ck.SessionHandle   { return q.Session }
func (q *ExplainRefusal) On() ck.SessionHandle     { return q.Session }
func (q *ZeroizePartition) On() ck.SessionHandle   { return q.Session }
func (q *SetCloningDomain) On() ck.SessionHandle   { return q.Session }
func (q *CloneAsTargetInit) On() ck.SessionHandle  { return q.Session }
func (q *CloneAsSource) On() ck.SessionHandle      { return q.Session }
func (q *CloneAsTarget) On() ck.SessionHandle      { return q.Session }
func (q *CloneObject) On() ck.SessionHandle        { return q.Session }
func (q *BackupArchive) On() ck.SessionHandle      { return q.Session }
func (q *RestoreArchive) On() ck.SessionHandle     { return q.Session }
func (q *ReadArchive) On() ck.SessionHandle        { return q.Session }

func (q *SetPartitionPolicy) On() ck.SessionHandle { return q.Session }
