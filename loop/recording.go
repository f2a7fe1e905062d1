package loop

// openRecording begins the recording that Config.Record asks for.
func (l *Loop) openRecording(cfg *Config) error {
	if cfg.Record == nil {
		return nil
	}
	w, err := cfg.Record(l.index)
	if err != nil || w == nil {
		return err
	}
	cfg.Endpoint.Record, l.recording = w, w
	return nil
}

// closeRecording ends the recording, if there is one. The Endpoint is closed.
func (l *Loop) closeRecording() {
	if l.recording != nil {
		l.recording.Close()
	}
}
