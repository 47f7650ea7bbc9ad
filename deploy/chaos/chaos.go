// Package chaos runs the real program as processes, lets clients POST and poll, breaks things in an
// order that a seed decides, and then holds what the clients were told, what the store has and what
// stands in the destinations against each other. `make chaos` runs it; its tests have the build tag
// chaos.
package chaos
