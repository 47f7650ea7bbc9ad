package jet

import (
	"testing"

	"runhook/shared/task"
)

// What Runhook keeps in the control bucket is nobody else's, and what is only like it is.
func TestControlHasNoStrangersOfOurs(t *testing.T) {
	t.Parallel()
	id := task.NewID()
	for _, subject := range []string{
		StoreIDSubject, RepairSubject, LayoutSubject, TurnSubject, SessionsSubject, CancelSubject(id, 7), PaceSubject(id), HealthSubject(id), TimetableSubject(id), ChainSubject(id), AlarmSubject(id, 7), WatermarkSubject(id),
		PausedSubject("imis prod/1"), SiteSubject("3q2-7wAAAA"), ErasureSubject(id, 1, 9),
	} {
		if !isControl(subject) {
			t.Errorf("%s is taken for another program's", subject)
		}
	}
	for _, subject := range []string{
		"$KV.control.other", CancelSubject(id, 7) + ".x", "$KV.control.cancel.x.7", "$KV.control.pace.x", "$KV.control.health.x", "$KV.control.schedule.x", "$KV.control.alarm.x.7", AlarmSubject(id, 7) + ".x", "$KV.control.chain.x", "$KV.control.since.x", "$KV.control.pause.!",
		"$KV.control.site.", "$KV.control.site.a.b", "$KV.control.erase." + string(id) + ".9",
	} {
		if isControl(subject) {
			t.Errorf("%s is taken for one of Runhook's", subject)
		}
	}
}
