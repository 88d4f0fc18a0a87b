package countersign

// Lend is a secret that one command gets in its environment, and no other process
// of the session.
type Lend struct {
	Name string   // of the variable; bound
	From string   // where the value comes from, as its rule has it; bound
	Env  []string // names of variables that the command gets as the attempt has them; bound
	Rule string   // id of the rule that lends it
}

// LendNames are the names of the variables.
func LendNames(ls []Lend) []string {
	out := make([]string, len(ls))
	for i, l := range ls {
		out[i] = l.Name
	}
	return out
}

func lends(ls []Lend) []any {
	out := make([]any, len(ls))
	for i, l := range ls {
		env := []any{}
		for _, n := range l.Env {
			env = append(env, n)
		}
		out[i] = map[string]any{"name": l.Name, "from": l.From, "env": env}
	}
	return out
}
