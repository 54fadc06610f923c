package p11

import "github.com/perilune/perilune/cryptoki/ck"

// The audit log. Requests with a Session need the Auditor logged in there, on
// [AdminSlot]; the status may be asked by anybody.
type (
	// InitAuditor makes the Auditor, while nobody is logged in on the
	// AdminSlot. An Auditor who exists can do it anew, from his Session. The
	// domain may be set later.
	InitAuditor struct {
		Session     ck.SessionHandle
		PIN, Domain []byte
	}
	// SetAuditDomain sets the audit domain, under which log secrets travel.
	SetAuditDomain struct {
		Session ck.SessionHandle
		Domain  []byte
	}

	// AuditConfig is what is recorded, and how it is kept.
	AuditConfig struct {
		// Mask has a bit for each category and outcome (package audit).
		Mask uint32
		// Rotation is hourly, daily, weekly, monthly or never.
		Rotation string
		// FileSize is the greatest size of a file, and Limit that of all
		// files together, in bytes; a Limit of 0 is none.
		FileSize, Limit uint64
		Remotes         []AuditRemote
	}
	// AuditRemote is a syslog server that gets a copy of every record.
	AuditRemote struct {
		Protocol   string // unix, udp, tcp or tls
		Address    string // host:port, or the path of a socket
		CAFile     string // whose certificates a TLS server's must come from; "" for the system's
		ServerName string // in the server's certificate; "" for the host's
		CertFile   string // the certificate to show, and its key; "" for none
		KeyFile    string
	}
	// GetAuditConfig asks for the configuration.
	GetAuditConfig struct{ Session ck.SessionHandle }
	// SetAuditConfig replaces it.
	SetAuditConfig struct {
		Session ck.SessionHandle
		Config  AuditConfig
	}

	// GetAuditStatus asks how the log is.
	GetAuditStatus struct{}
	// AuditStatus is its reply.
	AuditStatus struct {
		AuditorInitialized bool
		DomainSet          bool
		Configured         bool   // the Auditor set a configuration
		ConfigSet          string // when: RFC 3339, UTC
		Directory          string
		Newest             uint64 // number of the newest record
		Files              int
		Bytes              uint64
		Waiting            uint64 // records that this process has not brought into the log yet
		Trouble            string // why nothing can be recorded now; "" if it can
		Full               bool   // that is because the log is full
		Time               string // by the HSM's clock, which is the host's
		Remotes            []AuditRemoteState
	}
	// AuditRemoteState says how far the forwarding to a server is.
	AuditRemoteState struct {
		Remote  AuditRemote
		Sent    uint64 // number of the last record that it got
		Trouble string // why it gets no more
	}

	// AuditFile is a file of the log.
	AuditFile struct {
		Name, Path string
		Size       uint64
		Archived   bool // nothing is written to it any more
	}
	// AuditFiles is the reply of requests that list files.
	AuditFiles struct{ Files []AuditFile }
	// ListAuditFiles asks for the files of the log, oldest first.
	ListAuditFiles struct{ Session ck.SessionHandle }
	// RotateAuditLog ends the current file, so that it can be archived too.
	RotateAuditLog struct{ Session ck.SessionHandle }
	// RemoveAuditFiles deletes files that are archived, the oldest first. With
	// Unsent also such that a syslog server has not got yet.
	RemoveAuditFiles struct {
		Session ck.SessionHandle
		Names   []string
		Unsent  bool
	}

	// VerifyAuditFiles verifies the whole log, or the files whose paths are
	// given, in their order. Serial is the HSM whose log it is, "" for this
	// one; another's secret must have been imported.
	VerifyAuditFiles struct {
		Session ck.SessionHandle
		Serial  string
		Paths   []string
	}
	// VerifyAuditRecords verifies records that the caller holds, one after
	// another. With ToHSM the last must be the newest of the HSM.
	VerifyAuditRecords struct {
		Session ck.SessionHandle
		Serial  string
		Records []byte
		ToHSM   bool
	}
	// AuditVerification is the reply of both. The log is right if there are no
	// faults.
	AuditVerification struct {
		Serial      string
		Records     uint64 // that are right
		First, Last uint64
		Files       []AuditVerified
		Faults      []AuditFault
		More        bool // there are more faults than are listed
	}
	// AuditVerified is what was found in one file.
	AuditVerified struct {
		Name        string
		First, Last uint64
		Records     uint64
	}
	// AuditFault is something wrong with the records First to Last.
	AuditFault struct {
		Kind        string
		First, Last uint64
		File        string
		Line        int
		Text        string // all of it in words
	}

	// ExportAuditSecret asks for the log secret, encrypted under the audit
	// domain.
	ExportAuditSecret struct{ Session ck.SessionHandle }
	// AuditSecret is its reply: the content of a file and its name.
	AuditSecret struct {
		Name string
		Data []byte
	}
	// ImportAuditSecret keeps the log secret of another HSM, which must have
	// the same audit domain, so that its logs can be verified here.
	ImportAuditSecret struct {
		Session ck.SessionHandle
		Data    []byte
	}
	// AuditSecretInfo is its reply: whose secret it is.
	AuditSecretInfo struct{ Serial string }

	// LogExternal records a message of the caller's.
	LogExternal struct {
		Session ck.SessionHandle
		Message string
	}
)

// The kind of every request, the type of its reply, and its session.
func (*InitAuditor) Kind() Kind                       { return KindInitAuditor }
func (*InitAuditor) returns(None)                     {}
func (*SetAuditDomain) Kind() Kind                    { return KindSetAuditDomain }
func (*SetAuditDomain) returns(None)                  {}
func (*GetAuditConfig) Kind() Kind                    { return KindGetAuditConfig }
func (*GetAuditConfig) returns(AuditConfig)           {}
func (*SetAuditConfig) Kind() Kind                    { return KindSetAuditConfig }
func (*SetAuditConfig) returns(None)                  {}
func (*GetAuditStatus) Kind() Kind                    { return KindGetAuditStatus }
func (*GetAuditStatus) returns(AuditStatus)           {}
func (*ListAuditFiles) Kind() Kind                    { return KindListAuditFiles }
func (*ListAuditFiles) returns(AuditFiles)            {}
func (*RotateAuditLog) Kind() Kind                    { return KindRotateAuditLog }
func (*RotateAuditLog) returns(AuditFiles)            {}
func (*RemoveAuditFiles) Kind() Kind                  { return KindRemoveAuditFiles }
func (*RemoveAuditFiles) returns(None)                {}
func (*VerifyAuditFiles) Kind() Kind                  { return KindVerifyAuditFiles }
func (*VerifyAuditFiles) returns(AuditVerification)   {}
func (*VerifyAuditRecords) Kind() Kind                { return KindVerifyAuditRecords }
func (*VerifyAuditRecords) returns(AuditVerification) {}
func (*ExportAuditSecret) Kind() Kind                 { return KindExportAuditSecret }
func (*ExportAuditSecret) returns(AuditSecret)        {}
func (*ImportAuditSecret) Kind() Kind                 { return KindImportAuditSecret }
func (*ImportAuditSecret) returns(AuditSecretInfo)    {}
func (*LogExternal) Kind() Kind                       { return KindLogExternal }
func (*LogExternal) returns(None)                     {}
func (q *SetAuditDomain) On() ck.SessionHandle        { return q.Session }
func (q *GetAuditConfig) On() ck.SessionHandle        { return q.Session }
func (q *SetAuditConfig) On() ck.SessionHandle        { return q.Session }
func (q *ListAuditFiles) On() ck.SessionHandle        { return q.Session }
func (q *RotateAuditLog) On() ck.SessionHandle        { return q.Session }
func (q *RemoveAuditFiles) On() ck.SessionHandle      { return q.Session }
func (q *VerifyAuditFiles) On() ck.SessionHandle      { return q.Session }
func (q *VerifyAuditRecords) On() ck.SessionHandle    { return q.Session }
func (q *ExportAuditSecret) On() ck.SessionHandle     { return q.Session }
func (q *ImportAuditSecret) On() ck.SessionHandle     { return q.Session }
func (q *LogExternal) On() ck.SessionHandle           { return q.Session }
