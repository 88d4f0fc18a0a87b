// Package scan finds secrets in the strings of prompts and answers: by the rules
// of gitleaks and some of our own (data: rules.json, extra.json), and by the
// exact content of values it was taught (denied files, keys in use), plain or in
// base64, hex or URL encoding.
//
// It promises: what it was taught is kept as keyed hashes only; a finding says
// where and by which rule, never what; the same secret gets the same placeholder
// as long as the Scanner lives, and nobody without its key can make one that
// counts as genuine; a text scanned in pieces gives what it gives in one piece;
// a text on which it would spend more than its budget is an error, never a
// silent half; comments that ask a scanner to look away are not obeyed.
//
// It is pure: it opens nothing, dials nothing, logs nothing, and knows neither
// policy nor wires.
package scan
