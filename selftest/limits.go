package selftest

// Limit is something that is not enforced, or less than one might think.
type Limit struct {
	Where string // system or tier; empty: everywhere
	What  string
	Then  string // what happens instead, or what to do
	Shown string // the test that shows it; empty: it is said, and no test can show it
}

// Limits is what is not enforced, as far as it is known. docs/limits.md is made of
// it and of the Table.
func Limits() []Limit {
	return []Limit{
		{"macOS, Windows", "nothing is enforced", "`run`, `shell` and `selftest` refuse; what reads and judges works", ""},
		{"Linux, tiers B and C", "no unprivileged user namespaces, no seccomp user notification, or a Yama that forbids ptrace", "no session starts; `doctor` says what mends it", "sandbox.TestRefusals"},
		{"Linux, tier A-masked", "without /dev/fuse attempts on denied files are not seen; the files stay closed", "the posture and every record say so; `selftest` says `blocked, not seen`", "e2e.TestSelftestWithoutFuse"},
		{"Linux before 6.12, or without Landlock", "commands of the agent may signal the session's first process, which ignores them, and what was started apart", "`selftest` says `not protected` of `init-signal`", "selftest.TestJudge"},
		{"Linux under a filter of its surroundings (containers, service managers)", "calls that the filter above refuses are not seen", "`selftest` says `blocked, not seen`", "selftest.TestJudge"},
		{"Linux, staged as an overlay", "a denied name that appears outside can be open inside for about a millisecond", "stage as a snapshot (`--backend snapshot`), where it never is", "e2e.TestWindowOfNewNamesInAnOverlay"},
		{"", "what an approved command does without starting another: it may read whatever is not denied, and write its own layer", "read what you approve; rules, presets and reviews narrow it", ""},
		{"", "an approved command covers what it starts", "deny rules and `at: any-depth` hold below it, and all of it is on record", "e2e.TestContractOfRecords"},
		{"", "an agent that means to get a secret out through a prompt can split, encrypt or encode it past the scan", "accidents are kept in; the record has what was sent", "gateway.TestImagesAreNotScannedAndForgedPlaceholdersAreSeen"},
		{"", "an allowed host gets whatever the agent sends it", "allow few hosts, each by name and port", ""},
		{"", "a secret in a file whose name no rule knows is readable", "add the name to `files.deny`; `policy explain --path` says what holds", ""},
		{"", "whoever has this user's account outside a sandbox can answer the desk, stop sessions and delete the ledger", "deletion and rollback show against a checkpoint that was kept elsewhere", "ledger.TestOldCopyPutBackIsFoundBesideAKeptCheckpoint"},
		{"", "a power cut can lose the last 100 ms of covered commands", "decided ones are durable before they run", ""},
		{"", "size, times and existence of a denied file can be seen", "tools that compare work", ""},
		{"", "the agent sees environment and memory of what it starts itself", "keep secrets out of commands that it starts", ""},
		{"", "processor, disk and desk can be flooded", "a session can be stopped; it is not throttled", ""},
		{"", "side channels, kernel exploits, root on the machine, whoever builds the program", "a virtual machine around it, where that must not be relied on", ""},
	}
}
