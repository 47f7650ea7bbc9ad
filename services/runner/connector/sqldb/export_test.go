package sqldb

// LockWait is how long a transaction waits for others.
const LockWait = lockWait

// TakesLoose reports whether a column of a type that SQLite does not know takes a text.
func TakesLoose(text string) bool {
	_, problem := looseTexts{}.hold(text)
	return problem == ""
}
