package p11

import "github.com/perilune/perilune/cryptoki/ck"

// Refusal is an error that explains itself: which rule refused, for the sake of
// which attribute or policy, and what can be done about it. It holds no secret.
type Refusal struct {
	// Rule is the name of the rule; docs/profiles.md lists them.
	Rule string
	// Code is what the caller gets.
	Code ck.RV
	// Text says what was refused to whom, in plain words.
	Text string
	// Attribute is the name of the attribute that decided, Policy the policy,
	// with its number and text. Empty for none.
	Attribute, Policy string
	// Remedy says what to do, as a whole sentence without its full stop.
	Remedy string
}

// Error is the text with the code behind it.
func (r *Refusal) Error() string {
	if r.Text == "" {
		return r.Code.Error()
	}
	return r.Text + ": " + r.Code.Error()
}

// Unwrap is the code, so that ck.RVOf and errors.Is find it.
func (r *Refusal) Unwrap() error { return r.Code }

type (
	// ExplainRefusal asks for the last refusal of a session. It may always be
	// asked, and changes nothing.
	ExplainRefusal struct{ Session ck.SessionHandle }
	// Explanation is its reply. Request is the name of the request that was
	// refused, empty if none was. A failure that no rule of the HSM decided has
	// a Code and a Text only.
	Explanation struct {
		Request string
		Refusal
	}
)
