package countersign

// Limit bounds what models may cost, use or be asked, per session, project or
// user, in each window of time.
type Limit struct {
	Ruling Ruling // what a refusal by it says; its Rule names the limit
	Per    string // session, project, user
	// Window is minute, hour, day, week (from Monday) or month, by UTC's calendar;
	// empty for all of a session.
	Window   string
	NanoUSD  int64 // 10⁻⁹ US dollars; 0: no bound
	Tokens   int64 // of every class; 0: no bound
	Requests int64 // calls of models; 0: no bound
	// Unpriced lets models go whose price is not known, though NanoUSD cannot
	// bound them.
	Unpriced bool
	// Covers says which models it is about.
	Covers func(provider, model string) bool
}
