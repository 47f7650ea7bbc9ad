package sqldb

// LockWait is how long a transaction waits for others.
const LockWait = lockWait
