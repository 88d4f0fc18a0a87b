// Package keys finds and keeps the company's model keys: in the operating
// system's keychain, in an age file (age-encryption.org/v1) where there is none,
// and wherever gateway.yaml says: a file, a variable, a command, an entry of the
// keychain.
//
// It promises: no error, no argument of a process and no file in clear of its
// own holds any of a key; a file that another person may read, or owns, is
// refused with the command that mends it; a key command gets neither a terminal
// nor input, starts outside the project, is not found inside it, and ends with
// its time; many callers that want one key cause one look for it.
//
// What an age file is worth: its identity lies in another directory, so that a
// copied, synchronised or committed configuration gives no key away. Whoever
// reads both, which is any process of the same user outside a sandbox, has the
// keys. Where that is too little, the identity comes from a sealed credential of
// the service manager, or the key from a vault by command.
//
// It may read and write below its own directory, read the identity and the files
// that the configuration names, run the key command and ask the keychain. It
// dials nothing.
package keys
