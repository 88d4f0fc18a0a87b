package wire

import "testing"

func TestMostOutput(t *testing.T) {
	const unsaid = 8192
	for body, want := range map[string]int64{
		`{}`: unsaid, `{"max_tokens":5}`: 5, `{"max_completion_tokens":6,"n":3}`: 18, `{"max_output_tokens":7}`: 7,
		`{"generationConfig":{"maxOutputTokens":8}}`: 8, `{"options":{"num_predict":-1}}`: unsaid, `{"max_tokens":"x","n":-4}`: unsaid,
		`{"max_tokens":999999999999999999,"n":1000}`: mostTokens,
		// The smaller of two must not hide the larger one.
		`{"max_tokens":100000,"options":{"num_predict":1}}`:                 100000,
		`{"max_tokens":1,"max_tokens":100000}`:                              100000,
		`{"max_tokens":100000,"max_tokens":1}`:                              100000,
		`{"generation_config":{"max_output_tokens":9,"candidate_count":2}}`: 18,
		`{"max_tokens":1e5}`:                                                100000,
		`{"max_tokens":1000.0,"n":5000}`:                                    5000000,
		`{"max_tokens":1e999}`:                                              mostTokens,
		`{"max_tokens":10,"prompt":["a","b",[1,2]],"n":2,"best_of":4}`:      120,
		`{"max_tokens":10,"prompt":[1,2,3]}`:                                10,
	} {
		doc, err := Parse([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if got := MostOutput(doc, unsaid); got != want {
			t.Errorf("%s: %d, want %d", body, got, want)
		}
	}
	if MostOutput(nil, unsaid) != unsaid {
		t.Error("no body")
	}
}
