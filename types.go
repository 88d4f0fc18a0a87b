package countersign

// RecordTypes returns every type of record that a ledger of this version or an
// earlier one may hold, sorted; docs/formats/record.md says what each is.
func RecordTypes() []string {
	return []string{
		"agent.reset",
		"canary.result",
		"changeset.applied", "changeset.applying", "changeset.recovered", "changeset.undoing", "changeset.undone",
		"clock.stepped",
		"commit.returned", "commit.returning", "commit.taken", "commit.taking",
		"exec.decided", "exec.finished", "exec.started",
		"file.denied",
		"gateway.ended", "gateway.started", "gateway.token_issued", "gateway.token_revoked",
		"grant.ended", "grant.expired", "grant.given", "grant.revoked",
		"hunk.decided",
		"ledger.closed", "ledger.opened", "ledger.recovered",
		"model.request", "model.response",
		"net.decided", "net.denied", "net.finished",
		"policy.activated",
		"request.answered",
		"sandbox.denied",
		"secret.lent",
		"session.discarded", "session.ended", "session.started",
		"terminal.recorded",
		"workspace.branch", "workspace.carried", "workspace.conflict", "workspace.denied", "workspace.denied-gone", "workspace.failed", "workspace.git-config",
	}
}
