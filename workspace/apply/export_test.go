package apply

import "context"

// WithoutExchange makes an apply do as where two names cannot be swapped.
func WithoutExchange(o Options) Options {
	o.noExchange = true
	return o
}

// RecoverWith is Recover with the steps of o.
func RecoverWith(o Options) (string, error) {
	j, done, err := open(context.Background(), o)
	if err != nil {
		return "", err
	}
	defer done()
	return j.recover()
}
