package wire

// Place is where in a request a string stands.
type Place string

// The places. Which of them an agent's secrets come from is for the reader to
// judge: a tool result is a file's content as often as a user's text is.
const (
	System     Place = "system"
	User       Place = "user"
	Assistant  Place = "assistant"
	Thinking   Place = "thinking"    // the model's own, signed or encrypted: never edited
	ToolCall   Place = "tool-call"   // what the model told a tool
	ToolResult Place = "tool-result" // what a tool answered
	ToolSchema Place = "tool-schema"
	Media      Place = "media"    // base64 of images and documents
	Protocol   Place = "protocol" // ids, types and names that the vendor reads
	Other      Place = "other"    // fields this version does not know
)

// String is one string of a body.
type String struct {
	Place Place
	// Fixed says that an edit would break the request or a signature.
	Fixed bool
	// Name says that it is the name of an object's member, not a value.
	Name bool
	// From and To are the bytes between the quotes.
	From, To int

	v Value
}

// Text returns the string decoded, for whoever keeps nothing of it: see Value.Borrow.
func (s String) Text() string { return s.v.Borrow() }

// Span returns the bytes of the body that hold the decoded bytes [a, b): whole
// characters, so that an edit of them leaves a valid string. Offsets outside
// the text are held to its ends.
func (s String) Span(a, b int) (from, to int) {
	p := s.Spans([][2]int{{a, b}})[0]
	return p[0], p[1]
}

// Spans is Span for many parts, in order and none over another, in one pass.
func (s String) Spans(parts [][2]int) [][2]int {
	raw := s.v.d.src[s.From:s.To]
	out := make([][2]int, len(parts))
	for i := range out {
		out[i] = [2]int{s.To, s.To}
	}
	var buf [8]byte
	begun := false
	for at, i, n := 0, 0, 0; i < len(raw) && n < len(parts); {
		one, size := unit(buf[:0], raw[i:])
		for again := true; again && n < len(parts); {
			again = false
			if !begun && at+len(one) > parts[n][0] {
				out[n][0], begun = s.From+i, true
			}
			if at+len(one) >= parts[n][1] {
				out[n][1] = s.From + i + size
				out[n][0] = min(out[n][0], out[n][1])
				n, begun, again = n+1, false, true
			}
		}
		at, i = at+len(one), i+size
	}
	return out
}

// Walker hands the strings of a body to Visit, in the order of their bytes,
// until it returns false. A wire's Walk drives it.
type Walker struct {
	Visit   func(String) bool
	stopped bool
}

// All visits every string of a value, those of member names too.
func (w *Walker) All(v Value, place Place, fixed bool) {
	if v.d == nil {
		return
	}
	for i, end := v.i, v.d.nodes[v.i].next; i < end && !w.stopped; i++ {
		n := v.d.nodes[i]
		if n.kind == Text || n.kind == name {
			w.stopped = !w.Visit(String{place, fixed, n.kind == name, int(n.from) + 1, int(n.to) - 1, Value{v.d, i}})
		}
	}
}

// Each visits the members of an object: their names, which belong to the
// protocol, here, and their values in f, which keeps no name. Anything but an object
// is visited as a whole.
func (w *Walker) Each(v Value, place Place, f func(name string, v Value)) {
	if v.Kind() != Object {
		w.All(v, place, false)
		return
	}
	for k, val := range v.pairs() {
		if w.stopped {
			return
		}
		w.All(k, Protocol, true)
		f(k.Borrow(), val)
	}
}

// Items calls f for each item of an array; anything else is visited whole.
func (w *Walker) Items(v Value, place Place, f func(Value)) {
	if v.Kind() != Array {
		w.All(v, place, false)
		return
	}
	for item := range v.Items() {
		if w.stopped {
			return
		}
		f(item)
	}
}
