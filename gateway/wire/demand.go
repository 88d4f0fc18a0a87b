package wire

import (
	"math"
	"strconv"
)

// mostTokens bounds what is believed that somebody asks for.
const mostTokens = 1 << 60

// MostOutput is how many tokens of output a request asks for at most, by all the
// names that wires have for it, or unsaid where it does not say. Of several the
// largest counts: which of them the provider reads is not known.
func MostOutput(body *Doc, unsaid int64) int64 {
	root := body.Root()
	n := largest(root, 0,
		[]string{"max_tokens"}, []string{"max_completion_tokens"}, []string{"max_output_tokens"}, []string{"max_tokens_to_sample"},
		[]string{"generationConfig", "maxOutputTokens"}, []string{"generationConfig", "max_output_tokens"},
		[]string{"generation_config", "maxOutputTokens"}, []string{"generation_config", "max_output_tokens"},
		[]string{"options", "num_predict"})
	if n == 0 {
		n = unsaid
	}
	answers := largest(root, 1,
		[]string{"n"}, []string{"best_of"},
		[]string{"generationConfig", "candidateCount"}, []string{"generationConfig", "candidate_count"},
		[]string{"generation_config", "candidateCount"}, []string{"generation_config", "candidate_count"})
	prompts := int64(0) // of the old completions: each has its answers
	for v := range root.Get("prompt").Items() {
		if k := v.Kind(); k == Text || k == Array {
			prompts++
		}
	}
	return capped(capped(n, answers), max(prompts, 1))
}

func capped(a, b int64) int64 {
	if a > mostTokens/b {
		return mostTokens
	}
	return a * b
}

// largest is the largest number at any of the paths, said twice or not; at least
// least.
func largest(root Value, least int64, paths ...[]string) int64 {
	for _, path := range paths {
		last := len(path) - 1
		for name, v := range root.Get(path[:last]...).pairs() {
			if !name.is(path[last]) || v.Kind() != Number {
				continue
			}
			if f, err := strconv.ParseFloat(string(v.Raw()), 64); err == nil || math.IsInf(f, 1) {
				least = max(least, int64(min(math.Ceil(f), mostTokens)))
			}
		}
	}
	return least
}
