package qlogwriter_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/quic-go/quic-go/qlogwriter"
	"github.com/quic-go/quic-go/qlogwriter/jsontext"
)

// A file is a buffer that is closed once.
type file struct {
	bytes.Buffer
	closed int
}

func (f *file) Close() error {
	f.closed++
	return nil
}

type event string

func (e event) Name() string { return "test:" + string(e) }

func (e event) Encode(enc *jsontext.Encoder, _ time.Time) error {
	for _, tok := range []jsontext.Token{
		jsontext.BeginObject,
		jsontext.String("text"), jsontext.String("a \"b\"\n"),
		jsontext.String("numbers"), jsontext.BeginArray,
		jsontext.Int(-1), jsontext.Uint(math.MaxUint64), jsontext.Float(0.5), jsontext.Float(math.Inf(1)),
		jsontext.EndArray,
		jsontext.String("others"), jsontext.BeginArray, jsontext.True, jsontext.False, jsontext.Null, jsontext.EndArray,
		jsontext.String("none"), jsontext.BeginObject, jsontext.EndObject,
		jsontext.EndObject,
	} {
		if err := enc.WriteToken(tok); err != nil {
			return err
		}
	}
	return nil
}

func TestFileSeq(t *testing.T) {
	qlogwriter.RegisterEventSchema("urn:test")
	f := new(file)
	trace := qlogwriter.NewConnectionFileSeq(f, true, qlogwriter.ConnectionID{})
	a, b := trace.AddProducer(), trace.AddProducer()
	go trace.Run()
	a.RecordEvent(event("one"))
	a.Close()
	a.Close()
	b.RecordEvent(event("two"))
	b.Close() // it waits for Run
	b.RecordEvent(event("late"))
	if f.closed != 1 || trace.AddProducer() != nil {
		t.Errorf("the file was closed %d times, or goes on", f.closed)
	}
	records := bytes.Split(f.Bytes(), []byte{qlogwriter.RecordSeparator})
	if len(records) != 4 || len(records[0]) > 0 {
		t.Fatalf("the file is %q", f.Bytes())
	}
	var header struct {
		Trace struct {
			EventSchemas []string `json:"event_schemas"`
			VantagePoint struct {
				Type string
			} `json:"vantage_point"`
		}
	}
	if err := json.Unmarshal(records[1], &header); err != nil || header.Trace.VantagePoint.Type != "client" || len(header.Trace.EventSchemas) != 1 {
		t.Errorf("the header is %s, %v", records[1], err)
	}
	for i, want := range []string{"test:one", "test:two"} {
		var got struct {
			Name string
			Data map[string]any
		}
		err := json.Unmarshal(records[i+2], &got)
		if err != nil || got.Name != want || len(got.Data) != 4 || got.Data["text"] != "a \"b\"\n" || len(got.Data["numbers"].([]any)) != 4 {
			t.Errorf("event %d is %s, %v", i, records[i+2], err)
		}
	}
}

func TestEncoderErrors(t *testing.T) {
	for name, tokens := range map[string][]jsontext.Token{
		"a number for a name":  {jsontext.BeginObject, jsontext.Int(1)},
		"an end of nothing":    {jsontext.EndArray},
		"an end of another":    {jsontext.BeginArray, jsontext.EndObject},
		"a name without value": {jsontext.BeginObject, jsontext.String("a"), jsontext.EndObject},
	} {
		enc := jsontext.NewEncoder(new(bytes.Buffer))
		var err error
		for _, tok := range tokens {
			err = errors.Join(err, enc.WriteToken(tok))
		}
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
