package main

import "runhook/shared/web"

// maxConns is how many of so many descriptors HTTP connections may have, and clients of the embedded NATS.
// What is left is for the files of the store, and for sources and destinations.
func maxConns(descriptors uint64) (http, nats int) {
	const most = web.DefaultMaxConns
	if descriptors == 0 {
		return most, most
	}
	return int(min(descriptors/2, most)), int(min(descriptors/4, most))
}
