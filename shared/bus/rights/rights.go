package rights

import (
	"slices"

	"runhook/shared/bus/internal/jet"
)

// Service is what the NATS user of a service may do with the store. The server's permissions have
// no wildcard inside of a name, so what is for each slice of runs is for every stream, but for those of Deny.
type Service struct {
	// Name is the user's, and For what the service is for.
	Name, For string
	// Publish are the subjects to which it may publish, but for those of Deny, and Subscribe those that it may hear.
	Publish, Deny, Subscribe []string
	// Answers: it may answer what it hears.
	Answers bool
	// Apart: it asks from an account of its own, as an integration does, and gets only what it asked for. Pulls are
	// those of Publish whose answer is many messages.
	Apart bool
	Pulls []string
}

// Inbox begins the subjects of the answers that a service gets: no other service may hear them.
func Inbox(service string) string { return "_INBOX_" + service }

const (
	api    = "$JS.API."
	slice  = "$KV.*." // of each slice
	direct = api + "DIRECT.GET."
)

// follows is how a service follows the tasks, and control how it follows the runs that are to be canceled and the paces
// of tasks.
const (
	follows = direct + jet.TasksStream
	control = direct + jet.ControlStream
)

// Services are the users of the services.
func Services() []Service {
	return []Service{ingress(), runner(), status()}
}

// opens is what every service needs to open the store, to follow the tasks, and to find what became of runs.
var opens = []string{
	api + "STREAM.INFO.*", api + "STREAM.NAMES", api + "STREAM.MSG.GET.*",
	direct + jet.RunsStream, direct + jet.ProgressStream + "." + jet.LiveDocuments, follows, direct + jet.TasksStream + "." + jet.Tasks,
	direct + "*." + slice + "final.*.*", direct + "*." + slice + "claim.*.*",
	direct + "*." + slice + "bundle.*", direct + "*." + slice + "apart.*.*", direct + "*." + slice + "index.*",
}

func ingress() Service {
	return Service{
		Name: "ingress", For: "stores the requests of callers",
		Publish: slices.Concat(opens, []string{
			jet.Requests, jet.SkippedRequests, "$KV.keys.*.*", jet.SkippedKeys, slice + "skipped", jet.AuditSubject("runs-again"),
			control,
			api + "CONSUMER.INFO." + jet.RunsStream + ".*", // how many runs wait
			api + "INFO", // without this import the server answers all of the API that its account has no JetStream
		}),
		Deny: []string{
			api + "STREAM.MSG.GET." + jet.RowsStream, api + "STREAM.MSG.GET." + jet.EventsStream, api + "STREAM.MSG.GET." + jet.AuditStream,
			"$KV." + jet.TasksBucket + ".skipped", "$KV.control.skipped", "$KV.progress.skipped",
		},
		Subscribe: []string{Inbox("ingress") + ".>", jet.Followed},
		Apart:     true, Pulls: []string{follows, control},
	}
}

func runner() Service {
	return Service{
		Name: "runner", For: "claims runs, writes their progress and final documents, hears of those that are to be canceled, and removes the queues of tasks that have ended",
		Publish: slices.Concat(opens, []string{
			api + "CONSUMER.INFO." + jet.RunsStream + ".*", api + "CONSUMER.MSG.NEXT." + jet.RunsStream + ".*", api + "CONSUMER.DELETE." + jet.RunsStream + ".*",
			"$JS.ACK." + jet.RunsStream + ".>",
			slice + "claim.*.*", slice + "final.*.*", slice + "skipped", jet.LiveDocuments, "$KV." + jet.TasksBucket + ".*",
			jet.RowChunks, jet.RowMeta, direct + jet.RowsStream + "." + jet.RowMeta,
			control, jet.Paces, jet.Alarms, jet.Watermarks, jet.Sites, jet.ToldSites,
			api + "STREAM.PURGE." + jet.ProgressStream, api + "STREAM.PURGE." + jet.RowsStream,
		}),
		Deny:      []string{api + "STREAM.MSG.GET." + jet.RowsStream, api + "STREAM.MSG.GET." + jet.EventsStream, api + "STREAM.MSG.GET." + jet.KeysStream, api + "STREAM.MSG.GET." + jet.AuditStream},
		Subscribe: []string{Inbox("runner") + ".>", jet.Pools, jet.ToldSites},
		Answers:   true,
	}
}

func status() Service {
	s := Service{
		Name: "status", For: "answers polls, changes tasks, starts the runs of schedules and chains, cancels and erases runs, keeps the audit, signs operators in, ends what no runner holds, makes, seals and removes slices of runs, and makes the consumers of integrations",
		Publish: slices.Concat(opens, []string{
			"$KV." + jet.TasksBucket + ".>", jet.TurnSubject, jet.SessionsSubject, jet.Cancels, jet.Healths, jet.Timetables, jet.Chains, jet.Watermarks, jet.Alarms, jet.Requests, jet.Paused, control, jet.Pools,
			jet.Erasures, jet.Audits, jet.Receipts, jet.HeldTasks, direct + jet.AuditStream, direct + jet.EventsStream, "$KV.keys.*.*", slice + "claim.*.*",
			slice + "final.*.*", slice + "bundle.*", slice + "apart.*.*", slice + "index.*", slice + "skipped", jet.SkippedRequests,
			api + "STREAM.CREATE.*", api + "STREAM.UPDATE.*", api + "STREAM.DELETE.*", api + "STREAM.PURGE.*", api + "STREAM.MSG.DELETE.*",
			api + "CONSUMER.CREATE.*.>", api + "CONSUMER.INFO.*.*", api + "CONSUMER.DELETE.*.*", api + "CONSUMER.MSG.NEXT.*.*",
			api + "CONSUMER.LIST." + jet.RunsStream, api + "CONSUMER.NAMES." + jet.RunsStream,
			direct + "*." + jet.RowMeta,
		}),
		Subscribe: []string{Inbox("status") + ".>", jet.Followed, jet.AskedConsumers},
		Answers:   true,
	}
	for _, stream := range []string{jet.RunsStream, jet.EventsStream, jet.KeysStream, jet.ControlStream, jet.TasksStream, jet.RowsStream, jet.AuditStream} {
		s.Deny = append(s.Deny, api+"STREAM.DELETE."+stream)
		if stream != jet.RunsStream { // of which it purges the requests of bundled slices
			s.Deny = append(s.Deny, api+"STREAM.PURGE."+stream)
		}
	}
	for _, stream := range []string{jet.AuditStream, jet.KeysStream, jet.ProgressStream} {
		s.Deny = append(s.Deny, api+"STREAM.MSG.DELETE."+stream)
	}
	for _, consumers := range []string{"DELETE", "MSG.NEXT"} { // it makes those of integrations
		s.Deny = append(s.Deny, api+"CONSUMER."+consumers+"."+jet.EventsStream+".>")
	}
	return s
}
