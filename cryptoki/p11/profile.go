package p11

type (
	// ListProfiles asks what profiles of behaviour the HSM knows. It needs no
	// login and no initialised HSM.
	ListProfiles struct{}
	// ProfileList is its reply, the default first.
	ProfileList struct{ Profiles []Profile }
	// Profile describes a profile.
	Profile struct {
		Name, About string
		Facts       []ProfileFact
	}
	// ProfileFact is one thing that profiles can differ in. Facts of the same
	// section and name belong together; what a profile does not have at all
	// (a mechanism) is no fact of it.
	ProfileFact struct{ Section, Name, Value string }
)
