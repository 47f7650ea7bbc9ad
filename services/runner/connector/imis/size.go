package imis

import (
	"context"
	"errors"

	"runhook/shared/run"
)

// Size asks how many records the entity has.
func (d *Destination) Size(ctx context.Context) (rows int64, err error) {
	text, err := d.client.ask(ctx, d.asked(), "/api/"+d.entity.Name+"?limit=1", "")
	if refused, ok := errors.AsType[*refusal](err); ok {
		return 0, refused.failure(d.asked())
	}
	if err != nil {
		return 0, err
	}
	list := listing{total: -1}
	if !list.read(text) || list.total < 0 {
		return 0, run.Failf("%s does not say how many records it has; in expect give a number of rows instead of a percentage", d.asked())
	}
	return list.total, nil
}
