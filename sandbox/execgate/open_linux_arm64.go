package execgate

// sysOpen is a number that no call has: arm64 knows openat only.
const sysOpen = ^uint64(0)
