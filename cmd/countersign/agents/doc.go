// Package agents brings a profile and this machine together: it finds the agent's
// program and version without running either, writes its settings into its private
// home, keeps its caches no older than the person's, and throws that home away when a
// person says so.
//
// It promises: nothing that a project holds is taken for an agent; nothing in a home
// that an agent owns is followed; a home in use is not reset. It starts nothing and
// decides nothing.
package agents
