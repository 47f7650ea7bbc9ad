package ingress

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"runhook/shared/audit"
	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/web"
)

// StartWanted starts a run for an operator, who was let in elsewhere, as a POST to the task's webhook does. Its errors
// are those that a POST is answered with.
func (in *Ingress) StartWanted(ctx context.Context, w run.Wanted) (run.Number, error) {
	_, found := in.options.Tasks.Named(string(w.Task))
	target := called{Task: found}
	if found.Definition != nil {
		target.as = found.WebhookID()
	}
	accepted, err := in.startWanted(context.WithoutCancel(ctx), target, w)
	in.count(target, accepted, err)
	if err != nil {
		return 0, err
	}
	in.log(ctx, audit.Line{By: w.Operator, Via: "page", Address: w.Address}, target, accepted)
	return accepted.Number, nil
}

func (in *Ingress) startWanted(ctx context.Context, target called, w run.Wanted) (bus.Accepted, error) {
	if err := in.usable(target); err != nil {
		return bus.Accepted{}, err
	}
	values, err := target.Resolve(w.Given)
	if wrong, ok := errors.AsType[*task.ParameterError](err); ok {
		return bus.Accepted{}, wrongParameters(wrong)
	}
	if err != nil {
		return bus.Accepted{}, err
	}
	at, err := in.checkRunAt(w.RunAt, w.DryRun)
	if err != nil {
		return bus.Accepted{}, err
	}
	asked := asked{values, w.RunAt}
	by := starter{trigger: run.Page, operator: w.Operator, repeats: w.RepeatOf}
	if w.RepeatOf > 0 {
		by.trigger = run.Again
	}
	once := w.Once
	if w.Correction != nil {
		by.trigger, by.correction, once = run.Corrections, w.Correction, w.Once+"\n"+w.Correction.Key
	}
	key := ""
	if w.Once != "" {
		hash := sha256.Sum256([]byte("page\n" + w.Operator + "\n" + once + "\n" + asked.hash(w.DryRun, false)))
		key = hex.EncodeToString(hash[:])
	}
	return in.submit(ctx, target, asked, at, by, web.Correlation{}, key, w.Base, w.DryRun)
}
