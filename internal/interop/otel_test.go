package interop

import (
	"crypto/tls"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// A telemetry is an SDK of OpenTelemetry that keeps what it is told.
type telemetry struct {
	spans   *tracetest.SpanRecorder
	metrics *sdkmetric.ManualReader
	options []otelhttp.Option
	tracer  trace.Tracer
}

func newTelemetry() *telemetry {
	o := &telemetry{spans: tracetest.NewSpanRecorder(), metrics: sdkmetric.NewManualReader()}
	traces := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(o.spans))
	o.tracer = traces.Tracer("test")
	o.options = []otelhttp.Option{
		otelhttp.WithTracerProvider(traces),
		otelhttp.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(o.metrics))),
		otelhttp.WithPropagators(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})),
	}
	return o
}

// span returns the span of a kind. The server ends its own after the client has the response.
func (o *telemetry) span(t *testing.T, kind trace.SpanKind) (found sdktrace.ReadOnlySpan) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, s := range o.spans.Ended() {
			if s.SpanKind() == kind {
				found = s
			}
		}
		return found != nil
	}, time.Minute, time.Millisecond)
	return found
}

func attributesOf(s sdktrace.ReadOnlySpan) map[string]string {
	m := make(map[string]string)
	for _, kv := range s.Attributes() {
		m[string(kv.Key)] = kv.Value.String()
	}
	return m
}

// otelhttp takes the version from Proto, which net/http writes as "HTTP/3.0", while the conventions
// want "3". versionOfHandler and versionOfTransport stand between otelhttp and this module, and
// write it as the conventions do: HTTP/2.0 becomes HTTP/2, too.
func versionOfHandler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		named := *r // with the same context
		named.Proto = strings.TrimSuffix(r.Proto, ".0")
		h.ServeHTTP(w, &named)
	})
}

type versionOfTransport struct{ http.RoundTripper }

func (t versionOfTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Proto = strings.TrimSuffix(resp.Proto, ".0")
	}
	return resp, err
}

// TestOpenTelemetry: otelhttp works on both sides, with the real SDK. The context of the trace goes
// along, and the attributes are those of the semantic conventions for HTTP.
func TestOpenTelemetry(t *testing.T) {
	o := newTelemetry()
	var inside trace.SpanContext
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inside = trace.SpanContextFromContext(r.Context())
		if r.URL.Path == "/broken" {
			http.Error(w, "broken", http.StatusInternalServerError)
			return
		}
		io.Copy(w, r.Body)
	})
	serverTLS, clientTLS := tlsConfigs(t, "h3")
	base, host := serveTelemetry(t, serverTLS, versionOfHandler(otelhttp.NewHandler(h, "serve", o.options...)))
	tr := &h3http.Transport{TLSClientConfig: clientTLS}
	defer tr.Close()
	c := &http.Client{Transport: otelhttp.NewTransport(versionOfTransport{tr}, o.options...)}

	ctx, root := o.tracer.Start(t.Context(), "root")
	r, err := http.NewRequestWithContext(ctx, "POST", base+"/path?q=1", strings.NewReader("hello"))
	require.NoError(t, err)
	resp, err := c.Do(r)
	require.NoError(t, err)
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, "hello", string(b))
	root.End()

	client, server := o.span(t, trace.SpanKindClient), o.span(t, trace.SpanKindServer)
	require.Equal(t, root.SpanContext().TraceID(), server.SpanContext().TraceID())
	require.Equal(t, root.SpanContext().SpanID(), client.Parent().SpanID())
	require.Equal(t, client.SpanContext().SpanID(), server.Parent().SpanID())
	require.True(t, server.Parent().IsRemote())
	require.Equal(t, server.SpanContext().SpanID(), inside.SpanID())

	name, port, _ := strings.Cut(host, ":")
	for _, side := range []sdktrace.ReadOnlySpan{client, server} {
		got := attributesOf(side)
		for key, want := range map[string]string{
			"network.protocol.version":  "3",
			"http.request.method":       "POST",
			"http.response.status_code": "200",
			"server.address":            name,
			"server.port":               port,
		} {
			require.Equal(t, want, got[key], "%s of the %v", key, side.SpanKind())
		}
		if name, ok := got["network.protocol.name"]; ok { // it may be left out where it is http
			require.Equal(t, "http", name)
		}
	}
	require.Equal(t, base+"/path?q=1", attributesOf(client)["url.full"])
	got := attributesOf(server)
	require.Equal(t, "/path", got["url.path"])
	require.Equal(t, "https", got["url.scheme"])
	require.Equal(t, "127.0.0.1", got["network.peer.address"])
	peer, err := strconv.Atoi(got["network.peer.port"])
	require.NoError(t, err)
	require.True(t, peer > 0)
	o.checkMetrics(t)

	failed := newTelemetry()
	base, _ = serveTelemetry(t, serverTLS, versionOfHandler(otelhttp.NewHandler(h, "serve", failed.options...)))
	c.Transport = otelhttp.NewTransport(versionOfTransport{tr}, failed.options...)
	resp, err = c.Get(base + "/broken")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, codes.Error, failed.span(t, trace.SpanKindServer).Status().Code)
	require.Equal(t, codes.Error, failed.span(t, trace.SpanKindClient).Status().Code)
}

// checkMetrics makes sure that each side has measured its request, as one of version 3.
func (o *telemetry) checkMetrics(t *testing.T) {
	var all metricdata.ResourceMetrics
	require.NoError(t, o.metrics.Collect(t.Context(), &all))
	seen := make(map[string]bool)
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			h, ok := m.Data.(metricdata.Histogram[float64])
			if !ok {
				continue
			}
			for _, p := range h.DataPoints {
				version, _ := p.Attributes.Value(attribute.Key("network.protocol.version"))
				require.Equal(t, "3", version.AsString(), m.Name)
				require.EqualValues(t, 1, p.Count, m.Name)
				seen[m.Name] = true
			}
		}
	}
	require.True(t, seen["http.server.request.duration"] && seen["http.client.request.duration"], "%v", seen)
}

// serveTelemetry serves h on loopback until the test ends.
func serveTelemetry(t *testing.T, tc *tls.Config, h http.Handler) (base, host string) {
	srv := &h3http.Server{Handler: h, TLSConfig: tc}
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, srv.LoopConfig())
	require.NoError(t, err)
	t.Cleanup(func() { g.Close() })
	return "https://" + g.LocalAddr().String(), g.LocalAddr().String()
}
