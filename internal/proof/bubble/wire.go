package bubble

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2/proto" //nolint:depguard // this package is for tests
)

// Why a connection is of no more use.
var (
	errSilence = errors.New("nothing comes any more")
	errReset   = errors.New("connection reset")
)

// link is one connection between a process and Redis, with the wire in between. It
// carries one packet after the other, as go-redis sends the next only when the last
// is answered; a connection for notifications carries messages of its own besides.
type link struct {
	process *process
	client  net.Conn
	server  net.Conn
	asked   *bufio.Reader // from the client
	said    *bufio.Reader // by the server
	// streams: what the server says goes to the client as it comes.
	streams bool
}

// wireBuffer holds the longest packet: a script with a large answer.
const wireBuffer = 24 << 10

func (p *process) connect(client net.Conn) {
	server, err := p.world.redis.Dial()
	if err != nil {
		panic(err) // it is there until the world has ended
	}
	l := &link{
		process: p,
		client:  client,
		server:  server,
		asked:   bufio.NewReaderSize(client, wireBuffer),
		said:    bufio.NewReader(server),
	}
	p.world.links.Go(l.run)
}

func (l *link) run() {
	defer l.close()
	if !l.process.keep(l) {
		return
	}
	for {
		pk, err := readPacket(l.asked)
		if err != nil {
			return
		}
		err = l.carry(pk)
		if errors.Is(err, errSilence) {
			_, _ = io.Copy(io.Discard, l.client) // until the client gives up
		}
		if err != nil {
			return
		}
	}
}

func (l *link) close() {
	_ = l.client.Close()
	_ = l.server.Close()
}

// carry carries one packet to Redis and the reply back, or not.
func (l *link) carry(pk *packet) error {
	p, w := l.process, l.process.world
	f := p.drawFate(pk)
	switch f.kind {
	case StallBeforeSend:
		p.stall(f.kind, f.extra)
	case CrashBeforeSend:
		p.crash(f.kind)
	case LostRequest:
		return p.loss(f)
	case LateRequest:
		w.count(f.kind)
	}
	if !p.pass() {
		return errReset
	}
	if p.isCutOff(false) {
		return errSilence
	}
	time.Sleep(f.out)
	if l.streams || pk.commands[0].subscribes() {
		return l.post(pk)
	}
	reply, err := l.execute(pk, f)
	if err != nil {
		return err
	}
	if p.isCutOff(true) {
		return errSilence
	}
	return l.bring(pk, f, reply)
}

// loss is how the client hears of a loss: not at all, or by the connection's end.
func (p *process) loss(f fate) error {
	p.world.count(f.kind)
	p.world.note(p, "%v", f.kind)
	if !f.reset {
		return errSilence
	}
	p.world.count(Reset)
	return errReset
}

// execute has Redis execute the commands, one at a time, and returns its replies.
func (l *link) execute(pk *packet, f fate) ([]byte, error) {
	w := l.process.world
	var reply []byte
	for i, c := range pk.commands {
		if i > 0 && f.split {
			w.count(SplitPipeline)
			time.Sleep(f.between(time.Microsecond, time.Millisecond))
		}
		frame, err := l.executeOne(c)
		if err != nil {
			return nil, errReset
		}
		reply = append(reply, frame...)
	}
	return reply, nil
}

func (l *link) executeOne(c *command) (string, error) {
	w := l.process.world
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	if c.name() == "eval" {
		w.count(ScriptsSent)
		c.args[1] = w.core.script(c.args[1])
	}
	before := w.records()
	if _, err := l.server.Write(c.bytes()); err != nil {
		return "", err
	}
	frame, err := proto.Read(l.said)
	if err != nil {
		return "", err
	}
	w.judge.executed(l.process, c, frame, before, w.records())
	return frame, nil
}

// post sends a command that is answered among the messages.
func (l *link) post(pk *packet) error {
	if !l.streams {
		l.streams = true
		l.process.world.links.Go(l.stream)
	}
	for _, c := range pk.commands {
		if _, err := l.server.Write(c.bytes()); err != nil {
			return errReset
		}
	}
	return nil
}

// stream brings messages to the client. It always reads on, since Redis stands
// still while nobody takes a message.
func (l *link) stream() {
	p := l.process
	messages := make(chan string, 1000)
	p.world.links.Go(func() {
		defer func() { _ = l.client.Close() }()
		for message := range messages {
			time.Sleep(100*time.Microsecond + time.Duration(p.number))
			if !p.pass() {
				break
			}
			if p.isCutOff(true) {
				continue
			}
			if _, err := io.WriteString(l.client, message); err != nil {
				break
			}
		}
	})
	defer close(messages)
	for {
		message, err := proto.Read(l.said)
		if err != nil {
			return
		}
		select {
		case messages <- message:
		default: // the client has gone
		}
	}
}

// bring brings the reply to the client, or another's, or a part of it.
func (l *link) bring(pk *packet, f fate, reply []byte) error {
	p, w := l.process, l.process.world
	switch f.kind {
	case LostReply:
		return p.loss(f)
	case CrashAfterExecution:
		p.crash(f.kind)
	case StallAfterExecution:
		p.stall(f.kind, f.extra)
	case LateReply:
		w.count(f.kind)
	}
	time.Sleep(f.back)
	if !p.pass() {
		return errReset
	}
	if !pk.commands[0].handshake() {
		reply = w.exchange(p, pk, f, reply)
	}
	if f.kind == CutReply {
		_, _ = l.client.Write(reply[:f.IntN(len(reply))])
		return p.loss(f)
	}
	if owner := pk.owner(); owner != "" && bytes.Contains(reply, []byte(owner)) {
		w.judge.delivered(owner, reply)
	}
	if _, err := l.client.Write(reply); err != nil {
		return errReset
	}
	return nil
}

// held is a reply that waits to be exchanged for another.
type held struct {
	packet *packet
	reply  []byte
	taken  chan []byte
}

// exchange gives a caller the reply of another: one that is to be swapped waits a
// moment for the next of as many commands. If none comes, the caller gets the last
// that was given to anybody, himself included, and nobody his.
func (w *world) exchange(p *process, pk *packet, f fate, reply []byte) []byte {
	if other := w.takeHeld(pk); other != nil {
		w.count(SwappedReply)
		w.note(p, "swapped reply")
		other.taken <- w.core.rename(reply, pk.owner(), other.packet.owner())
		return w.core.rename(other.reply, other.packet.owner(), pk.owner())
	}
	if f.kind != SwappedReply {
		w.keep(pk, reply)
		return reply
	}
	mine := &held{packet: pk, reply: reply, taken: make(chan []byte, 1)}
	w.hold(mine)
	select {
	case <-time.After(f.extra):
	case theirs := <-mine.taken:
		return theirs
	}
	if !w.unhold(mine) {
		return <-mine.taken
	}
	if last := w.lastOf(pk); last != nil {
		w.count(SwappedReply)
		w.note(p, "a copy of an earlier reply")
		return w.core.rename(last.reply, last.packet.owner(), pk.owner())
	}
	return reply
}

// keep keeps a reply until the next one to as many commands.
func (w *world) keep(pk *packet, reply []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last[len(pk.commands)] = &held{packet: pk, reply: reply}
}

// lastOf returns the last reply to as many commands, nil if there was none.
func (w *world) lastOf(pk *packet) *held {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last[len(pk.commands)]
}

// takeHeld takes a reply that is not the same caller's.
func (w *world) takeHeld(pk *packet) *held {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, other := range w.held {
		if len(other.packet.commands) == len(pk.commands) && other.packet.owner() != pk.owner() {
			w.held = append(w.held[:i:i], w.held[i+1:]...)
			return other
		}
	}
	return nil
}

func (w *world) hold(mine *held) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = append(w.held, mine)
}

// unhold takes back a reply, if it is still there.
func (w *world) unhold(mine *held) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, other := range w.held {
		if other == mine {
			w.held = append(w.held[:i:i], w.held[i+1:]...)
			return true
		}
	}
	return false
}

// verdictOf finds the word of a script's reply, for the trace.
func verdictOf(frame string) string {
	lines := strings.Split(frame, "\r\n")
	if !strings.HasPrefix(frame, "$") || len(lines) < 2 {
		return lines[0]
	}
	if parts := strings.SplitN(lines[1], ": ", 3); len(parts) == 3 {
		return parts[1]
	}
	return lines[1]
}
