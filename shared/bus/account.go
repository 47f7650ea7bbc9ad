package bus

import (
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
)

// fitAccount fills a topology from what the account allows where that decides; asked is what was asked for.
// The error says all that the account lacks for the store.
func (b *Bus) fitAccount(ctx context.Context, t *Topology, asked Topology, slices []jetstream.StreamConfig, made map[string]*jetstream.StreamInfo) error {
	info, err := b.store.JS.AccountInfo(ctx)
	if err != nil {
		return fmt.Errorf("read the limits of the account: %w", jet.Explain(err))
	}
	account, tiered := info.Tier, len(info.Tiers) > 0
	if tiered {
		var ok bool
		if account, ok = info.Tiers[fmt.Sprintf("R%d", t.Replicas)]; !ok {
			return fmt.Errorf("the account allows no streams with %d replicas: choose --replicas by its limits, or have them raised", t.Replicas)
		}
	}
	limits := account.Limits
	if limits.MaxConsumers > 0 && asked.MaxConsumers == 0 && len(made) == 0 {
		t.MaxConsumers = min(t.MaxConsumers, limits.MaxConsumers)
	}
	if progress := made[jet.ProgressStream]; progress != nil {
		t.progressOnDisk = progress.Config.Storage == jetstream.FileStorage // a stream stays where it is
	} else {
		t.progressOnDisk = !hasMemory(account, t.copies(tiered)*max(1, t.progress().MaxBytes))
	}
	if lacks := lacking(*t, append(t.streams(), slices...), account, tiered, made); len(lacks) > 0 {
		return fmt.Errorf("the account does not hold the store, and nothing was changed: %s", strings.Join(lacks, "; "))
	}
	return nil
}

// copies is how often what a stream holds counts: the limits of a tier are for streams with its replicas.
func (t Topology) copies(tiered bool) int64 {
	if tiered {
		return 1
	}
	return int64(t.Replicas)
}

// hasMemory reports whether an account has memory for a stream of some bytes in all its copies.
func hasMemory(account jetstream.Tier, bytes int64) bool {
	limit := account.Limits.MaxMemory
	return limit < 0 || bytes <= limit-int64(account.ReservedMemory)
}

// lacking says what an account lacks for a store, and what to do about it.
func lacking(t Topology, wanted []jetstream.StreamConfig, account jetstream.Tier, tiered bool, made map[string]*jetstream.StreamInfo) (lacks []string) {
	lack := func(format string, values ...any) { lacks = append(lacks, fmt.Sprintf(format, values...)) }
	limits := account.Limits
	var fresh int
	var disk, present int64
	for _, config := range wanted {
		if made[config.Name] == nil {
			fresh++
		}
		if config.Storage != jetstream.FileStorage {
			continue
		}
		disk += t.copies(tiered) * max(config.MaxBytes, 0)
		if has := made[config.Name]; has != nil {
			present += t.copies(tiered) * max(has.Config.MaxBytes, 0)
		}
		if most := limits.StoreMaxStreamBytes; most > 0 && config.MaxBytes > most {
			lack("it allows a stream %s, and %s is to have %s of --max-bytes %s: pass a smaller one, or have the limit raised",
				size(most), config.Name, size(config.MaxBytes), size(t.MaxBytes))
		}
	}
	if limits.MaxStreams > 0 && account.Streams+fresh > limits.MaxStreams {
		lack("it allows %d streams and has %d, and the store needs %d more: have the limit raised to %d",
			limits.MaxStreams, account.Streams, fresh, account.Streams+fresh)
	}
	if limits.MaxConsumers > 0 && t.MaxConsumers > limits.MaxConsumers {
		lack("it allows %d consumers of a stream, one a task, and the store is to have %d: pass --max-consumers %[1]d, or have the limit raised",
			limits.MaxConsumers, t.MaxConsumers)
	}
	if limits.MaxBytesRequired && t.MaxBytes == 0 {
		lack("it wants a bound for what each stream holds: pass --max-bytes SIZE for all of them together%s", upTo(account, t.copies(tiered)))
	}
	if free := limits.MaxStore - int64(account.ReservedStore) + present; limits.MaxStore >= 0 && (disk > free || limits.MaxStore == 0) {
		lack("it allows %s on disk, of which %s are free, and the store needs %s for --max-bytes %s with --replicas %d: pass a smaller one, or have the limit raised",
			size(limits.MaxStore), size(max(free, 0)), size(disk), size(t.MaxBytes), t.Replicas)
	}
	return lacks
}

// upTo says how large --max-bytes may be, where the account tells.
func upTo(account jetstream.Tier, copies int64) string {
	if account.Limits.MaxStore < 0 {
		return ""
	}
	return ", up to " + size(max(0, account.Limits.MaxStore-int64(account.ReservedStore))/copies)
}

// size is a number of bytes for people, never more than there are.
func size(bytes int64) string {
	const units = "KMGTPE"
	if bytes < 1<<10 {
		return fmt.Sprintf("%d bytes", bytes)
	}
	value, unit := float64(bytes)/(1<<10), 0
	for value >= 1<<10 {
		value, unit = value/(1<<10), unit+1
	}
	text := fmt.Sprintf("%.1f", float64(int64(value*10))/10)
	return strings.TrimSuffix(text, ".0") + units[unit:unit+1] + "iB"
}
