package task_test

import (
	"testing"
	"time"

	"runhook/shared/schedule"
	"runhook/shared/task"
	"runhook/shared/zone"
)

// A jitter sets each time back by less than it is long, always by as much, and keeps their order; another task has
// other shares.
func TestJitter(t *testing.T) {
	t.Parallel()
	cron, err := schedule.ParseCron("*/10 * * * *", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	plain, jittered := task.Schedule{Cron: cron}, task.Schedule{Cron: cron, Jitter: 10 * time.Minute}
	one, other := task.ID("555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd"), task.ID("655e1a89-5d7d-4daf-ae0e-7b9b2b7933dd")
	due, moved, same := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 12, 1, 0, 10, 0, -1, time.UTC), 0
	shares := map[time.Duration]bool{}
	for range 1000 {
		due, _ = plain.Next(one, due)
		next, ok := jittered.Next(one, moved)
		if share := next.Sub(due); !ok || share < 0 || share >= jittered.Jitter || !next.After(moved) {
			t.Fatalf("%s is moved to %s", due, next)
		} else {
			shares[share] = true
		}
		if again, _ := jittered.Next(one, next.Add(-1)); !again.Equal(next) {
			t.Errorf("%s, and %s when asked again", next, again)
		}
		if its, _ := jittered.Next(other, due.Add(-1)); its.Equal(next) {
			same++
		}
		moved = next
	}
	if len(shares) < 300 || same > 50 {
		t.Errorf("%d shares, and %d are those of another task", len(shares), same)
	}
}

// Where clocks are set forward, times that are nearer to each other than the jitter is long are moved in their order too,
// and none is lost: 02:50 is left out on that day, and due at 03:00, ten minutes after 01:50.
func TestJitterWhereClocksChange(t *testing.T) {
	t.Parallel()
	newYork, err := zone.Load("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	cron, err := schedule.ParseCron("50 1,2 * * *", newYork)
	if err != nil {
		t.Fatal(err)
	}
	s := task.Schedule{Cron: cron, Jitter: time.Hour}
	for range 200 {
		id := task.NewID()
		first, _ := s.Next(id, time.Date(2026, 3, 8, 6, 0, 0, 0, time.UTC))
		second, _ := s.Next(id, first)
		third, _ := s.Next(id, second)
		if first.Before(time.Date(2026, 3, 8, 6, 50, 0, 0, time.UTC)) || !first.Before(time.Date(2026, 3, 8, 7, 0, 0, 0, time.UTC)) ||
			!second.Before(time.Date(2026, 3, 8, 8, 0, 0, 0, time.UTC)) || third.Before(time.Date(2026, 3, 9, 5, 50, 0, 0, time.UTC)) {
			t.Fatalf("%s is due at %s, %s and %s", id, first.UTC(), second.UTC(), third.UTC())
		}
	}
}

// The next times of all schedules come in their order, also those at the same time; a moment comes once.
func TestComing(t *testing.T) {
	t.Parallel()
	cron, err := schedule.ParseCron("0 6 * * *", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 12, 2, 6, 0, 0, 0, time.FixedZone("", 3600))
	def := &task.Definition{ID: "555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd", Schedules: []task.Schedule{{Cron: cron}, {At: at}, {Cron: cron}}}
	coming := def.Coming(time.Date(2026, 12, 1, 6, 0, 0, 0, time.UTC), 4)
	if len(coming) != 4 || coming[0].Local() != "2026-12-02T06:00:00+01:00" || !coming[1].At.Equal(coming[2].At) || coming[3].Local() != "2026-12-03T06:00:00Z" {
		t.Errorf("%+v", coming)
	}
	if coming := def.Coming(at, 100); len(coming) != 100 {
		t.Errorf("%d", len(coming))
	}
}
