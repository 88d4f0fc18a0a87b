package gateway

import (
	"context"
	"errors"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/keys"
	"github.com/countersign/countersign/internal/loopback"
)

// KeySource finds a provider's key; an empty one means that it needs none.
type KeySource interface {
	Key(ctx context.Context, p *Provider) (string, error)
}

// KeyRef says where a provider's key is. Empty means the one that "countersign
// keys set NAME" keeps, or none for a local provider.
type KeyRef = keys.Ref

// Keys finds keys where the configuration says, and else those that the store
// keeps.
type Keys keys.Store

// Key returns the provider's key. No error holds any of it.
func (k Keys) Key(ctx context.Context, p *Provider) (string, error) {
	key, err := keys.Store(k).Find(ctx, p.Name, p.Key)
	if err == nil && key == "" && !loopback.Is(p.base.Hostname()) {
		err = &countersign.Error{Code: countersign.EAuth, Op: "find the key of", Thing: p.Name, Err: errors.New("there is none"), Remedy: "countersign keys set " + p.Name}
	}
	return key, err
}

// Stamp changes when the file does that the key comes from.
func (k Keys) Stamp(p *Provider) string { return keys.Store(k).Stamp(p.Name, p.Key) }

// key returns a provider's key, from memory while it is fresh.
func (g *gateway) key(ctx context.Context, p *Provider) (string, error) {
	stamp := ""
	if s, ok := g.Keys.(interface{ Stamp(p *Provider) string }); ok {
		stamp = s.Stamp(p)
	}
	return g.keys.Get(ctx, p.Name, stamp, g.Now, func(ctx context.Context) (string, error) { return g.Keys.Key(ctx, p) })
}
