// Package landlock keeps the commands that a session starts apart from each other
// (landlock(7)). It changes the calling thread only, and opens nothing but the root.
package landlock
