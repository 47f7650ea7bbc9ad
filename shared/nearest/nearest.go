// Package nearest finds the name that somebody most likely meant.
package nearest

import (
	"strings"

	"github.com/agnivade/levenshtein"

	"runhook/shared/wording"
)

// Name returns the candidate that name was most likely meant to be, in whatever letter case, or ""
// when none is near: up to a third of the letters may differ.
func Name(name string, candidates []string) string {
	best, bestDistance := "", len(name)/3+1
	if len(name) <= 2 {
		bestDistance = 1
	}
	for _, candidate := range candidates {
		if difference := len(candidate) - len(name); difference > bestDistance || -difference > bestDistance {
			continue
		}
		distance := distance(strings.ToLower(name), strings.ToLower(candidate))
		if distance < bestDistance {
			best, bestDistance = candidate, distance
		}
	}
	return best
}

// Hint is "; did you mean X?" for the nearest candidate, and empty when none is near.
func Hint(name string, candidates []string) string {
	if near := Name(name, candidates); near != "" {
		return "; did you mean " + wording.Name(near) + "?"
	}
	return ""
}

// distance is Levenshtein's, but for two neighbours that changed places, which are one slip.
func distance(a, b string) int {
	d := levenshtein.ComputeDistance(a, b)
	if d != 2 || len(a) != len(b) {
		return d
	}
	i := 0
	for a[i] == b[i] {
		i++
	}
	if i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] {
		return 1
	}
	return d
}
