package hsm

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/perilune/perilune/cryptoki/audit"
	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// auditRow says what a request is in the audit log.
type auditRow struct {
	event audit.Event
	// use is for a step in the use of a key, whose operation tells the event.
	use bool
	// silent says why nothing is recorded.
	silent string
}

// Why requests are not recorded.
const (
	reads      = "it tells what is public or what the session may read, and changes nothing"
	ownSession = "it changes nothing but what the session has under way"
	byAuditor  = "what it reads is the log itself"
)

// auditTable has a row for every request; a test wants each to have one.
var auditTable = [p11.NumKinds]auditRow{
	p11.KindGetInfo:                {silent: reads},
	p11.KindGetSlotList:            {silent: reads},
	p11.KindGetSlotInfo:            {silent: reads},
	p11.KindGetTokenInfo:           {silent: reads},
	p11.KindWaitForSlotEvent:       {silent: reads},
	p11.KindGetMechanismList:       {silent: reads},
	p11.KindGetMechanismInfo:       {silent: reads},
	p11.KindInitToken:              {event: audit.InitToken},
	p11.KindInitPIN:                {event: audit.InitPIN},
	p11.KindSetPIN:                 {event: audit.SetPIN},
	p11.KindOpenSession:            {event: audit.OpenSession},
	p11.KindCloseSession:           {event: audit.CloseSession},
	p11.KindCloseAllSessions:       {event: audit.CloseAllSessions},
	p11.KindGetSessionInfo:         {silent: reads},
	p11.KindGetValidationFlags:     {silent: reads},
	p11.KindSessionCancel:          {silent: ownSession},
	p11.KindGetOperationState:      {event: audit.GetOperationState},
	p11.KindSetOperationState:      {event: audit.SetOperationState},
	p11.KindLogin:                  {event: audit.Login},
	p11.KindLogout:                 {event: audit.Logout},
	p11.KindCreateObject:           {event: audit.CreateObject},
	p11.KindCopyObject:             {event: audit.CopyObject},
	p11.KindDestroyObject:          {event: audit.DestroyObject},
	p11.KindGetObjectSize:          {silent: reads},
	p11.KindGetAttributeValue:      {silent: reads},
	p11.KindSetAttributeValue:      {event: audit.ModifyObject},
	p11.KindFindObjectsInit:        {silent: reads},
	p11.KindFindObjects:            {silent: reads},
	p11.KindFindObjectsFinal:       {silent: reads},
	p11.KindBegin:                  {use: true},
	p11.KindUpdate:                 {use: true},
	p11.KindDigestKey:              {event: audit.DigestKey},
	p11.KindFinish:                 {use: true},
	p11.KindDualUpdate:             {use: true},
	p11.KindMessage:                {use: true},
	p11.KindEndMessages:            {silent: ownSession},
	p11.KindGenerateKey:            {event: audit.GenerateKey},
	p11.KindGenerateKeyPair:        {event: audit.GenerateKeyPair},
	p11.KindWrapKey:                {event: audit.WrapKey},
	p11.KindUnwrapKey:              {event: audit.UnwrapKey},
	p11.KindDeriveKey:              {event: audit.DeriveKey},
	p11.KindEncapsulateKey:         {event: audit.EncapsulateKey},
	p11.KindDecapsulateKey:         {event: audit.DecapsulateKey},
	p11.KindSeedRandom:             {event: audit.SeedRandom},
	p11.KindGenerateRandom:         {event: audit.GetRandom},
	p11.KindGetHSMInfo:             {silent: reads},
	p11.KindInitHSM:                {event: audit.InitToken},
	p11.KindZeroizeHSM:             {event: audit.Zeroize},
	p11.KindListHSMPolicies:        {silent: reads},
	p11.KindSetHSMPolicy:           {event: audit.SetHSMPolicy},
	p11.KindCreatePartition:        {event: audit.CreatePartition},
	p11.KindDeletePartition:        {event: audit.DeletePartition},
	p11.KindListPartitions:         {silent: reads},
	p11.KindResizePartition:        {event: audit.ResizePartition},
	p11.KindRenamePartition:        {event: audit.ChangePartition},
	p11.KindLabelPartition:         {event: audit.ChangePartition},
	p11.KindClearPartition:         {event: audit.DestroyObject},
	p11.KindListRoles:              {silent: reads},
	p11.KindInitRole:               {event: audit.InitPIN},
	p11.KindResetRole:              {event: audit.ResetPIN},
	p11.KindExplainRefusal:         {silent: reads},
	p11.KindSetAppID:               {silent: ownSession},
	p11.KindGetAppID:               {silent: reads},
	p11.KindOpenAppID:              {event: audit.OpenAccess},
	p11.KindCloseAppID:             {event: audit.CloseAccess},
	p11.KindRestartSlot:            {event: audit.CleanAccess},
	p11.KindIsActive:               {silent: reads},
	p11.KindAcceptRestore:          {event: audit.AcceptRestore},
	p11.KindFactoryReset:           {event: audit.FactoryReset},
	p11.KindZeroizePartition:       {event: audit.Zeroize},
	p11.KindListProfiles:           {silent: reads},
	p11.KindSetCloningDomain:       {event: audit.SetDomain},
	p11.KindGetObjectUID:           {silent: reads},
	p11.KindGetObjectHandle:        {silent: reads},
	p11.KindCloneAsTargetInit:      {silent: ownSession},
	p11.KindCloneAsSource:          {event: audit.CloneAsSource},
	p11.KindCloneAsTarget:          {event: audit.CloneAsTarget},
	p11.KindCloneObject:            {event: audit.CloneAsTarget},
	p11.KindBackupArchive:          {event: audit.Extract},
	p11.KindRestoreArchive:         {event: audit.Insert},
	p11.KindReadArchive:            {silent: reads},
	p11.KindCheckRecords:           {silent: reads},
	p11.KindListPartitionPolicies:  {silent: reads},
	p11.KindSetPartitionPolicy:     {event: audit.SetPartitionPolicy},
	p11.KindCheckHSMPolicies:       {silent: reads},
	p11.KindCheckPartitionPolicies: {silent: reads},
	p11.KindModifyUsageCount:       {event: audit.ModifyUsageCount},

	p11.KindInitAuditor:        {event: audit.InitAuditor},
	p11.KindSetAuditDomain:     {event: audit.SetDomain},
	p11.KindGetAuditConfig:     {event: audit.LogGetConfig},
	p11.KindSetAuditConfig:     {event: audit.LogSetConfig},
	p11.KindGetAuditStatus:     {silent: reads},
	p11.KindListAuditFiles:     {silent: byAuditor},
	p11.KindRotateAuditLog:     {event: audit.LogRotate},
	p11.KindRemoveAuditFiles:   {event: audit.LogRemove},
	p11.KindVerifyAuditFiles:   {event: audit.LogVerify},
	p11.KindVerifyAuditRecords: {event: audit.LogVerify},
	p11.KindExportAuditSecret:  {event: audit.LogExportSecret},
	p11.KindImportAuditSecret:  {event: audit.LogImportSecret},
	p11.KindLogExternal:        {event: audit.External},
}

// useEvents are the events of an operation: its beginning, which is recorded
// when it fails; the first part; the end; and all in one.
type useEvents struct{ begin, part, end, single audit.Event }

var (
	encryptEvents = useEvents{audit.EncryptInit, audit.Encrypt, audit.EncryptEnd, audit.EncryptSinglepart}
	decryptEvents = useEvents{audit.DecryptInit, audit.Decrypt, audit.DecryptEnd, audit.DecryptSinglepart}
	digestEvents  = useEvents{audit.DigestInit, audit.Digest, audit.DigestEnd, audit.DigestSinglepart}
	signEvents    = useEvents{audit.SignInit, audit.Sign, audit.SignEnd, audit.SignSinglepart}
	verifyEvents  = useEvents{audit.VerifyInit, audit.Verify, audit.VerifyEnd, audit.VerifySinglepart}

	useTable = [p11.NumOperations]useEvents{
		p11.OpEncrypt: encryptEvents, p11.OpMessageEncrypt: encryptEvents,
		p11.OpDecrypt: decryptEvents, p11.OpMessageDecrypt: decryptEvents,
		p11.OpDigest: digestEvents,
		p11.OpSign:   signEvents, p11.OpSignRecover: signEvents, p11.OpMessageSign: signEvents,
		p11.OpVerify: verifyEvents, p11.OpVerifyRecover: verifyEvents, p11.OpMessageVerify: verifyEvents,
		p11.OpVerifySignature: verifyEvents,
	}
)

const (
	anyUse      = audit.Asymmetric | audit.First | audit.Symmetric | audit.SymFirst
	keyedUse    = audit.Asymmetric | audit.Symmetric
	useOfDigest = audit.Symmetric
)

// auditMasks are the categories that each request may be recorded for.
var auditMasks = func() (m [p11.NumKinds]audit.Mask) {
	for kind, row := range auditTable {
		switch {
		case row.use, row.event == audit.DigestKey:
			m[kind] = anyUse
		case row.event != audit.NoEvent:
			m[kind] = row.event.Category()
		}
	}
	return m
}()

// audits reports whether a request may have to be recorded: one atomic load
// when nothing is configured.
func (h *HSM) audits(kind p11.Kind) bool {
	return h.audit != nil && h.audit.Wants(auditTable[kind].event, auditMasks[kind])
}

// audited runs a request and records it. What must be recorded and cannot be
// does not run. The caller holds the session, if the request's handler does.
func (h *HSM) audited(ctx context.Context, s *session, q p11.Request, r any, run func() error) error {
	if !h.audits(q.Kind()) {
		return run()
	}
	c := auditCall{h: h, s: s, q: q}
	if q.Kind() == p11.KindBegin {
		return c.failing(ctx, run)
	}
	if !c.prepare(ctx) {
		return run()
	}
	return c.run(ctx, r, run)
}

// auditAct records something that happens inside the HSM and is no request of
// its own.
func (h *HSM) auditAct(ctx context.Context, event audit.Event, detail string, run func() error) error {
	if h.audit == nil || !h.audit.Wants(event, event.Category()) {
		return run()
	}
	c := auditCall{h: h, category: event.Category()}
	c.entry.Event, c.entry.Detail = event, detail
	c.stamp()
	return c.run(ctx, nil, run)
}

// auditCall is one call on its way into the log.
type auditCall struct {
	h        *HSM
	s        *session // nil if the request names none
	q        p11.Request
	entry    audit.Entry
	category audit.Mask
	op       *operation // whose key is used
	key      *object
}

// run makes sure of a place for the record, lets the call happen, and records
// how it ended.
func (c *auditCall) run(ctx context.Context, r any, run func() error) (err error) {
	t, err := c.h.audit.Begin(ctx, &c.entry)
	if err != nil {
		return err
	}
	c.entry.Code = audit.Unfinished
	defer func() { c.h.audit.End(ctx, t, &c.entry, c.category) }() // after a panic, too
	err = run()
	c.ended(ctx, r, err)
	return err
}

// failing records a call only if it fails.
func (c *auditCall) failing(ctx context.Context, run func() error) error {
	err := run()
	if err == nil || c.h.audit.Mask()&audit.OnFailure == 0 || !c.prepare(ctx) {
		return err
	}
	t, fault := c.h.audit.Begin(ctx, &c.entry)
	if fault != nil {
		return fault
	}
	c.ended(ctx, nil, err)
	c.h.audit.End(ctx, t, &c.entry, c.category)
	return err
}

// stamp says when, and which application.
func (c *auditCall) stamp() {
	c.entry.Time = c.h.opts.Now()
	id, _ := c.h.application()
	c.entry.AccessHi, c.entry.AccessLo = binary.BigEndian.Uint32(id[:]), binary.BigEndian.Uint32(id[4:])
}

// prepare finds out what there is to record; false if nothing is.
func (c *auditCall) prepare(ctx context.Context) bool {
	row := auditTable[c.q.Kind()]
	if c.entry.Event, c.category = row.event, row.event.Category(); row.use {
		c.entry.Event = c.useEvent()
	} else if row.event == audit.DigestKey {
		c.category = useOfDigest
	}
	if c.entry.Event == audit.NoEvent || !c.h.audit.Wants(c.entry.Event, c.category) {
		return false
	}
	c.stamp()
	if on, ok := c.q.(p11.OnSession); ok {
		c.entry.Session = uint64(on.On())
	}
	if c.s != nil {
		role, _ := c.s.acting()
		c.entry.Role = byte(role)
		c.entry.Serial = c.h.partitionNumber(c.s.part)
	}
	c.describe(ctx)
	return true
}

// partitionNumber is a partition's serial number, 0 for the administration.
func (h *HSM) partitionNumber(p *partition) uint64 {
	if p.admin() {
		return 0
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.info.Serial*serialFactor + uint64(p.space)
}

// useEvent is the event of a step in the use of a key, and finds the key.
func (c *auditCall) useEvent() audit.Event {
	switch q := c.q.(type) {
	case *p11.Begin:
		return c.beginEvent(q)
	case *p11.Update:
		return c.stepEvent(q.Op, q.Out, stepPart)
	case *p11.DualUpdate:
		kind := q.First
		if q.Second == p11.OpEncrypt || q.Second == p11.OpDecrypt {
			kind = q.Second
		}
		return c.stepEvent(kind, q.Out, stepPart)
	case *p11.Finish:
		if q.Single || q.Op == p11.OpSignRecover || q.Op == p11.OpVerifyRecover {
			return c.stepEvent(q.Op, q.Out, stepWhole)
		}
		return c.stepEvent(q.Op, q.Out, stepEnd)
	case *p11.Message:
		switch {
		case q.Start:
			return audit.NoEvent
		case q.Whole:
			return c.stepEvent(q.Op, q.Out, stepWhole)
		case q.Last:
			return c.stepEvent(q.Op, q.Out, stepEnd)
		}
		return c.stepEvent(q.Op, q.Out, stepPart)
	}
	return audit.NoEvent
}

// step is how much of an operation's data a request brings.
type step uint8

const (
	stepPart step = iota
	stepEnd
	stepWhole
)

// stepEvent is the event of a step in an operation under way. Who asks for a
// length does nothing yet, and parts after the first are not recorded: the
// operation is known already.
func (c *auditCall) stepEvent(kind p11.Operation, out p11.Output, s step) audit.Event {
	if out.Query || int(kind) >= p11.NumOperations || c.s == nil {
		return audit.NoEvent
	}
	c.useOf(kind, c.s.ops[kind])
	events := useTable[kind]
	switch {
	case s == stepWhole:
		return events.single
	case s == stepEnd:
		return events.end
	case c.op != nil && c.op.recorded:
		return audit.NoEvent
	}
	return events.part
}

func (c *auditCall) beginEvent(q *p11.Begin) audit.Event {
	if q.Mechanism == nil || int(q.Op) >= p11.NumOperations || c.s == nil {
		return audit.NoEvent
	}
	c.category = keyedUse
	if q.Op == p11.OpDigest {
		c.category = useOfDigest
	}
	c.mechanism(q.Mechanism)
	c.entry.Key = uint64(q.Key)
	return useTable[q.Op].begin
}

// useOf notes the key of an operation and the categories that it belongs to.
func (c *auditCall) useOf(kind p11.Operation, o *operation) {
	switch {
	case o == nil:
		c.category = keyedUse
		return
	case o.key == nil:
		c.category = useOfDigest
	default:
		c.category = o.key.useCategory()
		c.keyIs(o.key)
	}
	c.op = o
	c.entry.Mechanic, c.entry.Mechanism = true, uint64(o.row.Type)
}

// useCategory is the category of a use of the key: the first one belongs to
// two.
func (o *object) useCategory() audit.Mask {
	all, first := audit.Asymmetric, audit.First
	if o.class == ck.CKO_SECRET_KEY {
		all, first = audit.Symmetric, audit.SymFirst
	}
	if o.used.Load() {
		return all
	}
	return all | first
}

func (c *auditCall) keyIs(o *object) {
	c.key = o
	c.entry.Key = uint64(o.handle)
	c.entry.KeyID = o.name()
}

// name is what names an object for ever: the OUID of a token object, the
// CKA_UNIQUE_ID of any other.
func (o *object) name() string {
	if id, ok := o.ouid(); ok {
		return hex.EncodeToString(id[:])
	}
	return string(o.bytes(ck.CKA_UNIQUE_ID))
}

func (c *auditCall) mechanism(m *ck.Mechanism) {
	if m != nil {
		c.entry.Mechanic, c.entry.Mechanism = true, uint64(m.Type)
	}
}

// named notes the object that a request names, if there is such a one.
func (c *auditCall) named(ctx context.Context, handle ck.ObjectHandle) {
	c.entry.Key, c.entry.KeyID = uint64(handle), ""
	if c.s == nil {
		return
	}
	if o, err := c.h.object(ctx, c.s, handle); err == nil {
		c.entry.KeyID = o.name()
	}
}

// describe adds what a request says of itself. Nothing here is secret: no PIN,
// no domain, no value.
func (c *auditCall) describe(ctx context.Context) {
	e := &c.entry
	switch q := c.q.(type) {
	case *p11.InitToken:
		e.Detail = fmt.Sprintf("slot %d label %q", q.Slot, q.Label)
	case *p11.InitHSM:
		e.Session = uint64(q.Session)
		e.Detail = fmt.Sprintf("HSM label %q", q.Label)
	case *p11.OpenSession:
		e.Detail = fmt.Sprintf("slot %d flags %#x", q.Slot, uint64(q.Flags))
	case *p11.CloseAllSessions:
		e.Detail = fmt.Sprintf("slot %d", q.Slot)
	case *p11.Login:
		c.describeLogin(q)
	case *p11.CopyObject:
		c.named(ctx, q.Object)
	case *p11.DestroyObject:
		c.named(ctx, q.Object)
	case *p11.SetAttributeValue:
		c.named(ctx, q.Object)
		e.Detail = attributeNames(q.Template)
	case *p11.DigestKey:
		c.named(ctx, q.Key)
	case *p11.GenerateKey:
		c.mechanism(q.Mechanism)
	case *p11.GenerateKeyPair:
		c.mechanism(q.Mechanism)
	case *p11.WrapKey:
		c.mechanism(q.Mechanism)
		c.named(ctx, q.Key)
		e.Detail = fmt.Sprintf("by key %d", q.WrappingKey)
	case *p11.UnwrapKey:
		c.mechanism(q.Mechanism)
		e.Detail = fmt.Sprintf("by key %d", q.UnwrappingKey)
	case *p11.DeriveKey:
		c.mechanism(q.Mechanism)
		e.Detail = fmt.Sprintf("from key %d", q.BaseKey)
	case *p11.EncapsulateKey:
		c.mechanism(q.Mechanism)
		e.Detail = fmt.Sprintf("by key %d", q.PublicKey)
	case *p11.DecapsulateKey:
		c.mechanism(q.Mechanism)
		e.Detail = fmt.Sprintf("by key %d", q.PrivateKey)
	case *p11.ModifyUsageCount:
		c.named(ctx, q.Key)
	case *p11.CloneAsSource:
		c.named(ctx, q.Object)
	case *p11.CloneObject:
		e.Detail = fmt.Sprintf("from session %d key %d", q.Source, q.Object)
	case *p11.BackupArchive:
		e.Detail = "into an archive"
	case *p11.RestoreArchive:
		e.Detail = "from an archive"
	case *p11.SetHSMPolicy:
		c.describePolicies(q.Policies, q.Destroy, audit.SetDestructiveHSMPolicy)
	case *p11.SetPartitionPolicy:
		c.describePolicies(q.Policies, q.Destroy, audit.SetDestructivePartitionPolicy)
	case *p11.CreatePartition:
		e.Detail = fmt.Sprintf("name %q", q.Name)
	case *p11.DeletePartition:
		e.Detail = fmt.Sprintf("slot %d", q.Slot)
	case *p11.ResizePartition:
		e.Detail = fmt.Sprintf("slot %d to %d bytes", q.Slot, q.Size)
	case *p11.RenamePartition:
		e.Detail = fmt.Sprintf("slot %d name %q", q.Slot, q.Name)
	case *p11.LabelPartition:
		e.Detail = fmt.Sprintf("label %q", q.Label)
	case *p11.ZeroizePartition:
		e.Detail = "the partition"
	case *p11.ClearPartition:
		e.Detail = "all objects"
	case *p11.InitRole:
		e.Detail = "of " + roleWord(q.Role)
	case *p11.ResetRole:
		e.Detail = "of " + roleWord(q.Role)
	case *p11.OpenAppID:
		e.Detail = fmt.Sprintf("slot %d", q.Slot)
	case *p11.CloseAppID:
		e.Detail = fmt.Sprintf("slot %d", q.Slot)
	case *p11.RestartSlot:
		e.Detail = fmt.Sprintf("slot %d", q.Slot)
	case *p11.InitAuditor:
		e.Session = uint64(q.Session)
	case *p11.SetAuditConfig:
		e.Detail = "events " + audit.Mask(q.Config.Mask).String() + " rotation " + q.Config.Rotation
	case *p11.VerifyAuditFiles:
		e.Detail = "HSM " + orOwn(q.Serial)
	case *p11.VerifyAuditRecords:
		e.Detail = "HSM " + orOwn(q.Serial)
	case *p11.RemoveAuditFiles:
		e.Detail = strings.Join(q.Names, " ")
	case *p11.LogExternal:
		e.Detail = q.Message
	}
}

// describeLogin names the role that logs in; its login of the moment is not.
func (c *auditCall) describeLogin(q *p11.Login) {
	if q.User == ck.CKU_CONTEXT_SPECIFIC {
		c.entry.Detail = "for one operation"
		return
	}
	if role, err := c.h.roleOf(c.s.part, q.User); err == nil {
		c.entry.Role = byte(role)
		c.entry.Exempt = role == p11.RoleAuditor // who alone can make room
		return
	}
	c.entry.Role, c.entry.Detail = 0, fmt.Sprintf("user type %#x", uint64(q.User))
}

// describePolicies names the new settings. A change that may destroy is an event
// of its own.
func (c *auditCall) describePolicies(list []p11.PolicySetting, destroy bool, destructive audit.Event) {
	if destroy {
		c.entry.Event = destructive
	}
	var words []string
	for _, p := range list {
		words = append(words, fmt.Sprintf("%d to %d", p.ID, p.Value))
	}
	c.entry.Detail = "policy " + strings.Join(words, ", ")
}

func orOwn(serial string) string {
	if serial == "" {
		return "itself"
	}
	return serial
}

func roleWord(r p11.Role) string {
	if int(r) < len(roleWords) {
		return roleWords[r]
	}
	return "no role"
}

func attributeNames(template []ck.Attribute) string {
	var names []string
	for _, a := range template {
		names = append(names, a.Type.String())
	}
	return strings.Join(names, " ")
}

// ended adds what is known when the call returned.
func (c *auditCall) ended(ctx context.Context, r any, err error) {
	rv := ck.RVOf(err)
	c.entry.Code = uint32(rv)
	if rv == ck.CKR_BUFFER_TOO_SMALL {
		c.category = 0 // nothing happened: the call comes again
		return
	}
	if err != nil {
		return
	}
	if c.op != nil && c.op.row != nil { // it goes on
		c.op.recorded = true
	}
	if c.key != nil {
		c.key.used.Store(true)
	}
	switch r := r.(type) {
	case *p11.Handle:
		c.made(ctx, r.Object)
	case *p11.KeyPair:
		c.made(ctx, r.Private)
		c.entry.Detail = fmt.Sprintf("public key %d", r.Public)
	case *p11.Encapsulated:
		if r.Object == 0 {
			c.category = 0 // the length was asked for
			return
		}
		c.made(ctx, r.Object)
	case *p11.Session:
		c.entry.Session = uint64(r.Session)
	case *p11.PartitionInfo:
		c.entry.Detail += " S/N " + r.Serial
	case *p11.Length:
		if asksLength(c.q) {
			c.category = 0
		}
	case *p11.ArchiveResult:
		c.entry.Detail += fmt.Sprintf(", %d objects", r.Objects)
	case *p11.AuditVerification:
		c.entry.Detail += fmt.Sprintf(" records %d to %d, %d faults", r.First, r.Last, len(r.Faults))
	case *p11.AuditSecretInfo:
		c.entry.Detail = "of HSM " + r.Serial
	}
}

func asksLength(q p11.Request) bool {
	switch q := q.(type) {
	case *p11.WrapKey:
		return q.Out.Query
	case *p11.GetOperationState:
		return q.Out.Query
	}
	return false
}

// made notes the object that a call made, unless it made none.
func (c *auditCall) made(ctx context.Context, handle ck.ObjectHandle) {
	if handle != 0 {
		c.named(ctx, handle)
	}
}
