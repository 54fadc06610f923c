package capi

// #include "stubs.h"
import "C"

import (
	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// function is a row of the table of functions: the Go function that serves it,
// for which operation, and whether it begins or ends the life of the library.
type function struct {
	run  func(call) error
	op   p11.Operation
	life bool
}

// functions is indexed by the numbers of stubs.h. The three functions that
// stubs.c answers itself have no row.
var functions = [C.F_COUNT]function{
	C.F_C_Initialize: {run: initialize, life: true},
	C.F_C_Finalize:   {run: finalize, life: true},

	C.F_C_GetInfo:          {run: getInfo},
	C.F_C_GetSlotList:      {run: getSlotList},
	C.F_C_GetSlotInfo:      {run: getSlotInfo},
	C.F_C_GetTokenInfo:     {run: getTokenInfo},
	C.F_C_GetMechanismList: {run: getMechanismList},
	C.F_C_GetMechanismInfo: {run: getMechanismInfo},
	C.F_C_InitToken:        {run: initToken},
	C.F_C_InitPIN:          {run: initPIN},
	C.F_C_SetPIN:           {run: setPIN},
	C.F_C_WaitForSlotEvent: {run: waitForSlotEvent},

	C.F_C_OpenSession:       {run: openSession},
	C.F_C_CloseSession:      {run: closeSession},
	C.F_C_CloseAllSessions:  {run: closeAllSessions},
	C.F_C_GetSessionInfo:    {run: getSessionInfo},
	C.F_C_SessionCancel:     {run: sessionCancel},
	C.F_C_GetOperationState: {run: getOperationState},
	C.F_C_SetOperationState: {run: setOperationState},
	C.F_C_Login:             {run: login},
	C.F_C_LoginUser:         {run: loginUser},
	C.F_C_Logout:            {run: logout},

	C.F_C_CreateObject:      {run: createObject},
	C.F_C_CopyObject:        {run: copyObject},
	C.F_C_DestroyObject:     {run: destroyObject},
	C.F_C_GetObjectSize:     {run: getObjectSize},
	C.F_C_GetAttributeValue: {run: getAttributeValue},
	C.F_C_SetAttributeValue: {run: setAttributeValue},
	C.F_C_FindObjectsInit:   {run: findObjectsInit},
	C.F_C_FindObjects:       {run: findObjects},
	C.F_C_FindObjectsFinal:  {run: findObjectsFinal},

	C.F_C_EncryptInit:       {run: begin, op: p11.OpEncrypt},
	C.F_C_Encrypt:           {run: whole, op: p11.OpEncrypt},
	C.F_C_EncryptUpdate:     {run: updateOut, op: p11.OpEncrypt},
	C.F_C_EncryptFinal:      {run: final, op: p11.OpEncrypt},
	C.F_C_DecryptInit:       {run: begin, op: p11.OpDecrypt},
	C.F_C_Decrypt:           {run: whole, op: p11.OpDecrypt},
	C.F_C_DecryptUpdate:     {run: updateOut, op: p11.OpDecrypt},
	C.F_C_DecryptFinal:      {run: final, op: p11.OpDecrypt},
	C.F_C_DigestInit:        {run: begin, op: p11.OpDigest},
	C.F_C_Digest:            {run: whole, op: p11.OpDigest},
	C.F_C_DigestUpdate:      {run: update, op: p11.OpDigest},
	C.F_C_DigestKey:         {run: digestKey, op: p11.OpDigest},
	C.F_C_DigestFinal:       {run: final, op: p11.OpDigest},
	C.F_C_SignInit:          {run: begin, op: p11.OpSign},
	C.F_C_Sign:              {run: whole, op: p11.OpSign},
	C.F_C_SignUpdate:        {run: update, op: p11.OpSign},
	C.F_C_SignFinal:         {run: final, op: p11.OpSign},
	C.F_C_SignRecoverInit:   {run: begin, op: p11.OpSignRecover},
	C.F_C_SignRecover:       {run: whole, op: p11.OpSignRecover},
	C.F_C_VerifyInit:        {run: begin, op: p11.OpVerify},
	C.F_C_Verify:            {run: verify, op: p11.OpVerify},
	C.F_C_VerifyUpdate:      {run: update, op: p11.OpVerify},
	C.F_C_VerifyFinal:       {run: verifyFinal, op: p11.OpVerify},
	C.F_C_VerifyRecoverInit: {run: begin, op: p11.OpVerifyRecover},
	C.F_C_VerifyRecover:     {run: verifyRecover, op: p11.OpVerifyRecover},

	C.F_C_DigestEncryptUpdate: {run: dualEncrypt, op: p11.OpDigest},
	C.F_C_DecryptDigestUpdate: {run: dualDecrypt, op: p11.OpDigest},
	C.F_C_SignEncryptUpdate:   {run: dualEncrypt, op: p11.OpSign},
	C.F_C_DecryptVerifyUpdate: {run: dualDecrypt, op: p11.OpVerify},

	C.F_C_GenerateKey:     {run: generateKey},
	C.F_C_GenerateKeyPair: {run: generateKeyPair},
	C.F_C_WrapKey:         {run: wrapKey},
	C.F_C_UnwrapKey:       {run: unwrapKey},
	C.F_C_DeriveKey:       {run: deriveKey},
	C.F_C_SeedRandom:      {run: seedRandom},
	C.F_C_GenerateRandom:  {run: generateRandom},

	C.F_C_GetFunctionStatus: {run: notParallel},
	C.F_C_CancelFunction:    {run: notParallel},

	C.F_C_MessageEncryptInit:  {run: beginMessages, op: p11.OpMessageEncrypt},
	C.F_C_EncryptMessage:      {run: cryptMessage, op: p11.OpMessageEncrypt},
	C.F_C_EncryptMessageBegin: {run: cryptMessageBegin, op: p11.OpMessageEncrypt},
	C.F_C_EncryptMessageNext:  {run: cryptMessageNext, op: p11.OpMessageEncrypt},
	C.F_C_MessageEncryptFinal: {run: endMessages, op: p11.OpMessageEncrypt},
	C.F_C_MessageDecryptInit:  {run: beginMessages, op: p11.OpMessageDecrypt},
	C.F_C_DecryptMessage:      {run: cryptMessage, op: p11.OpMessageDecrypt},
	C.F_C_DecryptMessageBegin: {run: cryptMessageBegin, op: p11.OpMessageDecrypt},
	C.F_C_DecryptMessageNext:  {run: cryptMessageNext, op: p11.OpMessageDecrypt},
	C.F_C_MessageDecryptFinal: {run: endMessages, op: p11.OpMessageDecrypt},
	C.F_C_MessageSignInit:     {run: beginMessages, op: p11.OpMessageSign},
	C.F_C_SignMessage:         {run: signMessage, op: p11.OpMessageSign},
	C.F_C_SignMessageBegin:    {run: signMessageBegin, op: p11.OpMessageSign},
	C.F_C_SignMessageNext:     {run: signMessageNext, op: p11.OpMessageSign},
	C.F_C_MessageSignFinal:    {run: endMessages, op: p11.OpMessageSign},
	C.F_C_MessageVerifyInit:   {run: beginMessages, op: p11.OpMessageVerify},
	C.F_C_VerifyMessage:       {run: verifyMessage, op: p11.OpMessageVerify},
	C.F_C_VerifyMessageBegin:  {run: signMessageBegin, op: p11.OpMessageVerify},
	C.F_C_VerifyMessageNext:   {run: verifyMessageNext, op: p11.OpMessageVerify},
	C.F_C_MessageVerifyFinal:  {run: endMessages, op: p11.OpMessageVerify},

	C.F_C_EncapsulateKey:            {run: encapsulateKey},
	C.F_C_DecapsulateKey:            {run: decapsulateKey},
	C.F_C_VerifySignatureInit:       {run: verifySignatureInit, op: p11.OpVerifySignature},
	C.F_C_VerifySignature:           {run: verifySignature, op: p11.OpVerifySignature},
	C.F_C_VerifySignatureUpdate:     {run: update, op: p11.OpVerifySignature},
	C.F_C_VerifySignatureFinal:      {run: verifySignatureFinal, op: p11.OpVerifySignature},
	C.F_C_GetSessionValidationFlags: {run: getSessionValidationFlags},
	C.F_C_AsyncComplete:             {run: notSupported},
	C.F_C_AsyncGetID:                {run: notSupported},
	C.F_C_AsyncJoin:                 {run: notSupported},
	C.F_C_WrapKeyAuthenticated:      {run: wrapKeyAuthenticated},
	C.F_C_UnwrapKeyAuthenticated:    {run: unwrapKeyAuthenticated},

	C.F_CA_InitRolePIN:                    {run: initRolePIN},
	C.F_CA_ResetPIN:                       {run: resetPIN},
	C.F_CA_RoleStateGet:                   {run: roleState},
	C.F_CA_Deactivate:                     {run: deactivate},
	C.F_CA_SetApplicationID:               {run: setAppID},
	C.F_CA_OpenApplicationID:              {run: openAppID},
	C.F_CA_CloseApplicationID:             {run: closeAppID},
	C.F_CA_OpenApplicationIDForContainer:  {run: openAppIDFor},
	C.F_CA_CloseApplicationIDForContainer: {run: closeAppIDFor},
	C.F_CA_SetApplicationIDV2:             {run: setAppIDV2},
	C.F_CA_GetApplicationID:               {run: getAppID},
	C.F_CA_OpenApplicationIDV2:            {run: openAppIDV2},
	C.F_CA_CloseApplicationIDV2:           {run: closeAppIDV2},
	C.F_CA_RandomizeApplicationID:         {run: randomAppID},
	C.F_CA_OpenSession:                    {run: openContainerSession},
	C.F_CA_OpenSessionWithAppID:           {run: openAppSession},
	C.F_CA_GetSessionInfo:                 {run: vendorSessionInfo},
	C.F_CA_CheckOperationState:            {run: operationState},
	C.F_CA_Restart:                        {run: restart},
	C.F_CA_RestartForContainer:            {run: restartFor},
	C.F_CA_WaitForSlotEvent:               {run: vendorWait},
	C.F_CA_SessionCancel:                  {run: sessionCancel},
	C.F_CA_FindAdminSlotForSlot:           {run: adminSlot},
	C.F_CA_GetSlotIdForContainer:          {run: containerSlot},
	C.F_CA_GetContainerList:               {run: containerList},
	C.F_CA_GetContainerName:               {run: containerName},
	C.F_CA_GetNumberOfAllowedContainers:   {run: allowedContainers},
	C.F_CA_CreateContainer:                {run: createContainer},
	C.F_CA_DeleteContainerWithHandle:      {run: deleteContainer},
	C.F_CA_TokenDelete:                    {run: deleteToken},
	C.F_CA_SetContainerSize:               {run: resizeContainer},
	C.F_CA_ChangeLabel:                    {run: changeLabel},
	C.F_CA_GetContainerStatus:             {run: containerStatus},
	C.F_CA_GetTokenStatus:                 {run: tokenStatus},
	C.F_CA_GetHSMStorageInformation:       {run: hsmStorage},
	C.F_CA_GetTokenStorageInformation:     {run: tokenStorage},
	C.F_CA_GetContainerStorageInformation: {run: containerStorage},
	C.F_CA_ExplainRefusal:                 {run: explainRefusal},
	C.F_CA_DestroyMultipleObjects:         {run: destroyObjects},
}

func notSupported(call) error { return ck.CKR_FUNCTION_NOT_SUPPORTED }

// notParallel answers what is left of functions that run in parallel.
func notParallel(call) error { return ck.CKR_FUNCTION_NOT_PARALLEL }
