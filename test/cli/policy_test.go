package cli

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What `hsm policy` prints, refuses and does. FIPS mode holds at once for
// everything that has the HSM open.
func TestPolicies(t *testing.T) {
	h := newHost(t)
	list := func(value string) {
		t.Helper()
		want := regexp.MustCompile(`(?m)^12 +Allow non-FIPS algorithms +` + value + `$`)
		if o := h.run(done, "hsm policy list"); !want.MatchString(o.stdout) {
			t.Errorf("hsm policy list does not say that policy 12 is %s:\n%s", value, o.stdout)
		}
	}
	list("on") // without an HSM SO, too
	h.says(failed, "hsm policy set --id 12 --value off --hsm-so-pin env:HSM_SO", "the HSM has no HSM SO", "perilune hsm init")
	h.run(done, "hsm init --label x --so-pin env:HSM_SO")
	h.run(done, "partition create --name app --hsm-so-pin env:HSM_SO")
	h.run(done, "partition init --label app --so-pin env:SO --partition app")
	h.run(done, "role init --role co --so-pin env:SO --new-pin env:CO")
	h.run(done, "key generate --type ec:secp256k1 --label coin --pin env:CO")

	for line, texts := range map[string][]string{
		"hsm policy set --id 12 --value 7 --hsm-so-pin env:HSM_SO":  {"cannot set HSM policy 12 to 7", "takes 0 to 1", "CKR_CONFIG_ILLEGAL"},
		"hsm policy set --id 99 --value on --hsm-so-pin env:HSM_SO": {"cannot set HSM policy 99 to on", "there is no HSM policy 99", "CKR_POLICY_ID_INVALID"},
		"hsm policy set --id 12 --value off --hsm-so-pin env:WRONG": {"CKR_PIN_INCORRECT", "2 of 3 tries are left"},
	} {
		h.says(failed, line, texts...)
	}
	for line, texts := range map[string][]string{
		"hsm policy set --id 12 --value maybe --hsm-so-pin env:HSM_SO": {`--value "maybe"`, "on, off or a number"},
		"hsm policy set --value on --hsm-so-pin env:HSM_SO":            {"needs --id"},
		"hsm policy set --id 12 --hsm-so-pin env:HSM_SO":               {"needs --value"},
		"hsm policy set --id twelve --value on":                        {"--id"},
		"hsm policy set --id 12 --value off":                           {"no terminal to ask for a PIN", "--hsm-so-pin"},
		"hsm policy show":                                              {"policy"},
	} {
		h.says(usage, line, texts...)
	}
	list("on")

	if o := h.run(done, "hsm policy set --id 12 --value off --hsm-so-pin env:HSM_SO"); o.stdout != "HSM policy 12 is off.\n" {
		t.Errorf("hsm policy set: %q", o.stdout)
	}
	list("off")
	if got := h.shown("hsm show --json")["fips_mode"]; got != true {
		t.Errorf("hsm show --json: fips_mode is %v", got)
	}
	if o := h.run(done, "hsm show"); !slices.Contains(strings.Split(o.stdout, "\n"), "FIPS mode:                       on") {
		t.Errorf("hsm show does not say that FIPS mode is on:\n%s", o.stdout)
	}
	h.says(failed, "key generate --type ec:secp256k1 --label other --pin env:CO", "CKR_CURVE_NOT_SUPPORTED")
	h.says(failed, "key generate --type ed25519 --label other --pin env:CO", "CKR_MECHANISM_INVALID")
	h.run(done, "key generate --type ec:P-256 --label approved --pin env:CO")
	h.run(done, "key show --label coin --class private --pin env:CO") // what exists stays

	h.run(done, "hsm policy set --id 12 --value 1 --hsm-so-pin env:HSM_SO") // numbers do as well
	list("on")
	h.run(done, "key generate --type ed25519 --label other --pin env:CO")
	if got := h.shown("hsm show --json")["fips_mode"]; got != false {
		t.Errorf("hsm show --json: fips_mode is %v", got)
	}
}

// shown is the JSON object that a command prints.
func (h *host) shown(line string) (object map[string]any) {
	h.t.Helper()
	if err := json.Unmarshal([]byte(h.run(done, line).stdout), &object); err != nil {
		h.t.Fatal(err)
	}
	return object
}
