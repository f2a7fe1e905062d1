package metrics

import "github.com/lazoquic/lazo/h3/h3http"

// classes are the values of the label "status", in the order of h3http.Stats.Responses.
var classes = [len(h3http.Stats{}.Responses)]string{0: "other", 2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}

// addServer adds what servers of HTTP/3 count.
func (f *families) addServer(s *h3http.Stats) {
	f.gauge("http3_connections", "Connections of HTTP/3.", int64(s.Conns))
	f.gauge("http3_open_requests", "Requests that have begun and not ended.", int64(s.Open))
	f.counter("http3_requests_total", "Requests whose header section has arrived.", s.Requests)
	f.add("http3_responses_total", "Responses, by the class of their status.", Counter, byClass(s)...)
	f.add("http3_rejected_requests_total", "Requests that no handler saw, by cause.", Counter,
		count(s.Rejected, "cause", "goaway"), count(s.Malformed, "cause", "malformed"), count(s.TooLarge, "cause", "too_large"),
		count(s.HeaderTimeouts, "cause", "header_timeout"))
	f.counter("http3_canceled_streams_total", "Directions of streams that clients canceled.", s.Canceled)
	f.counter("http3_floods_total", "Connections that ended because their client canceled too much.", s.Floods)
	f.add("http3_timeouts_total", "Deadlines of requests that passed, and responses that clients took too slowly.", Counter,
		count(s.ReadTimeouts, "what", "read"), count(s.WriteTimeouts, "what", "write"), count(s.Stalled, "what", "stalled"))
	f.counter("http3_dropped_datagrams_total", "HTTP Datagrams that belonged to no request, or that nobody read in time.", s.Dropped)
	f.gauge("http3_field_section_bytes", "Bytes of field sections that have not arrived completely.", int64(s.FieldBytes))
}

// byClass returns how many responses there are of each class.
func byClass(s *h3http.Stats) (responses []Sample) {
	for i, class := range classes {
		if class != "" {
			responses = append(responses, count(s.Responses[i], "status", class))
		}
	}
	return responses
}

// addTransport adds what clients of HTTP/3 count. Limits for requests of peers are for servers
// only.
func (f *families) addTransport(s *h3http.Stats) {
	f.gauge("http3_client_connections", "Connections of clients of HTTP/3.", int64(s.Conns))
	f.gauge("http3_client_open_requests", "Requests of clients that have begun and not ended.", int64(s.Open))
	f.counter("http3_client_requests_total", "Requests that clients have sent.", s.Requests)
	f.add("http3_client_responses_total", "Responses that clients received, by the class of their status.", Counter, byClass(s)...)
	f.add("http3_client_failed_responses_total", "Responses that clients rejected, by cause.", Counter,
		count(s.Malformed, "cause", "malformed"), count(s.TooLarge, "cause", "too_large"))
	f.counter("http3_client_canceled_streams_total", "Directions of requests that servers canceled.", s.Canceled)
	f.add("http3_client_timeouts_total", "Deadlines of the streams of clients that passed.", Counter,
		count(s.ReadTimeouts, "what", "read"), count(s.WriteTimeouts, "what", "write"))
	f.counter("http3_client_dropped_datagrams_total",
		"HTTP Datagrams from servers that belonged to no request, or that nobody read in time.", s.Dropped)
	f.gauge("http3_client_field_section_bytes", "Bytes of field sections from servers that have not arrived completely.", int64(s.FieldBytes))
}
