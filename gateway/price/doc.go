// Package price says what a call of a model costs.
//
// It promises: money is whole nano-dollars, computed without floating point and
// rounded once; every token is priced in exactly one class; what is not known
// for certain (a model, a class, a service tier, a prompt longer than a price
// holds for) makes the cost unknown, never zero and never a guess; each cost
// names the version of the table it came from, so that it can be computed again
// from the recorded tokens.
//
// The table is built in: prices.tsv, made by generate.go from the model data of
// charm.land/catwalk, and overlay.tsv, ours. A company's own prices.yaml goes
// before it, whole lines at a time.
//
// It reads prices.yaml and touches nothing else.
package price
