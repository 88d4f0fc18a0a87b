// Package sockdiag asks the kernel for TCP sockets by sock_diag(7): one by its two
// ends, or those that listen. A table of /proc/net would be a walk through the whole
// machine's hash for each question, ten milliseconds and more.
//
// It touches nothing but the socket it is given, which answers for the network
// namespace that it was made in.
package sockdiag
