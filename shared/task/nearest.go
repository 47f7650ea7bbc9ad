package task

import (
	"fmt"
	"strings"

	"github.com/agnivade/levenshtein"
)

// nearest returns the candidate that name was most likely meant to be, in whatever letter case,
// or "" when none is near: about a third of the letters may differ.
func nearest(name string, candidates []string) string {
	best, bestDistance := "", (len(name)+1)/3+1
	for _, candidate := range candidates {
		if difference := len(candidate) - len(name); difference > bestDistance || -difference > bestDistance {
			continue
		}
		distance := levenshtein.ComputeDistance(strings.ToLower(name), strings.ToLower(candidate))
		if distance < bestDistance {
			best, bestDistance = candidate, distance
		}
	}
	return best
}

// quote shows a caller's or an author's text in a message, cut where it is too long to read.
func quote(text string) string {
	const most = 60
	if letters := []rune(text); len(letters) > most {
		text = string(letters[:most]) + "…"
	}
	return fmt.Sprintf("%q", text)
}

// either lists words as a sentence does: "a, b or c".
func either(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
