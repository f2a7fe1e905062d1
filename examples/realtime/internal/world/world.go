package world

import "time"

// What holds for the field and its players.
const (
	Size       = 4096                   // the length of a side of the field
	View       = 512                    // how far a player sees
	TickRate   = 30                     // ticks a second
	Tick       = time.Second / TickRate // from one tick to the next
	MaxSpeed   = 20                     // how far a player gets in a tick
	MaxSeen    = 64                     // players in a snapshot
	MaxPlayers = 4096                   // in a World

	// MaxAge is how old a position may be when it comes to the server. An older one is dropped.
	MaxAge = time.Second

	// Silence is how long a player is shown after its last position.
	Silence = 3 * time.Second
)

// maxScan is how many players a snapshot looks at. In a crowd the next one goes on behind them.
const maxScan = 4 * MaxSeen

// cells is how many cells there are on a side of the field. A cell is as long as a player sees, so
// that all whom a player sees are in the cell of the player or in one beside it.
const cells = Size / View

// A World is the field with all that is on it. It belongs to one goroutine.
type World struct {
	epoch    time.Time
	tick     uint32
	lastID   uint32
	players  []*Player // in the order in which they came, but for those who have gone
	byID     map[uint32]*Player
	grid     [cells][cells][]*Player // as of the last tick; some may have left since
	coins    [coinCount]coin
	random   uint64
	hearers  [kinds][]*Channel // the open channels of each kind
	dirty    []*Session        // that have something to send
	counters Counters
}

// Counters say what became of what players have sent.
type Counters struct {
	Positions uint64 // that were taken
	Late      uint64 // positions that a newer one had overtaken
	Stale     uint64 // positions older than MaxAge
	Malformed uint64 // datagrams that mean nothing
	Voice     uint64 // frames that were passed on
	Muted     uint64 // frames beyond the rate of voice
	Chats     uint64 // messages that were passed on
}

// A Player is a connection that has said hello.
type Player struct {
	ID   uint32
	Name string

	s            *Session
	index        int // in World.players
	x, y         int
	goalX, goalY int       // where it says that it is
	seq          uint32    // of the newest position
	born         time.Time // of the newest position
	moved        bool      // there was a position
	echo         uint32
	echoAt       time.Time
	have         int // coins
	voice, chat  allowance
}

// New returns an empty World. What is random in it is drawn from seed.
func New(now time.Time, seed uint64) *World {
	w := &World{epoch: now, byID: make(map[uint32]*Player), random: seed}
	for i := range w.coins {
		w.placeCoin(i)
	}
	return w
}

// Players returns how many players there are.
func (w *World) Players() int { return len(w.players) }

// Counters returns what has become of what players have sent.
func (w *World) Counters() Counters { return w.counters }

// draw returns a random number below n (SplitMix64).
func (w *World) draw(n int) int {
	w.random += 0x9e3779b97f4a7c15
	z := w.random
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return int((z ^ z>>31) % uint64(n))
}

// clock returns the time of the world, in tenths of a millisecond.
func (w *World) clock(now time.Time) uint32 { return tenths(now.Sub(w.epoch)) }

// join makes a player of a session. It returns nil if the world is full.
func (w *World) join(now time.Time, s *Session, name string) *Player {
	if len(w.players) >= MaxPlayers {
		return nil
	}
	w.lastID++
	// Near the middle, so that players who come see others.
	p := &Player{ID: w.lastID, Name: name, s: s, index: len(w.players), born: now}
	p.voice, p.chat = newAllowance(now, VoiceRate, VoiceRate), newAllowance(now, 1, ChatBurst)
	p.x, p.y = Size/2-View/4+w.draw(View/2), Size/2-View/4+w.draw(View/2)
	p.goalX, p.goalY = p.x, p.y
	w.players = append(w.players, p)
	w.byID[p.ID] = p
	return p
}

// leave ends a player. The grid forgets it with the next tick.
func (w *World) leave(p *Player) {
	last := len(w.players) - 1
	w.players[p.index] = w.players[last]
	w.players[p.index].index = p.index
	w.players[last] = nil
	w.players = w.players[:last]
	delete(w.byID, p.ID)
}

// Tick moves the players, and lets them find coins. Call it TickRate times a second. Its cost grows
// with the number of players, not with the square of it.
func (w *World) Tick(now time.Time) {
	w.tick++
	for x := range w.grid {
		for y := range w.grid[x] {
			clear(w.grid[x][y])
			w.grid[x][y] = w.grid[x][y][:0]
		}
	}
	for _, p := range w.players {
		p.x, p.y = towards(p.x, p.goalX), towards(p.y, p.goalY)
		if now.Sub(p.born) <= Silence {
			c := &w.grid[p.x/View][p.y/View]
			*c = append(*c, p)
		}
	}
	w.findCoins()
}

// towards returns the place between from and to that a player reaches in a tick. So a player that
// says that it is far away gets there no sooner than others.
func towards(from, to int) int { return from + max(-MaxSpeed, min(to-from, MaxSpeed)) }

// near calls f for players that p may see, p not among them, until f returns false. It looks at
// maxScan players at most, and begins with another one in each tick.
func (w *World) near(p *Player, f func(q *Player) bool) {
	var lists [9][]*Player
	n, total := 0, 0
	for x := max(p.x/View-1, 0); x <= min(p.x/View+1, cells-1); x++ {
		for y := max(p.y/View-1, 0); y <= min(p.y/View+1, cells-1); y++ {
			lists[n] = w.grid[x][y]
			total += len(lists[n])
			n++
		}
	}
	if total == 0 {
		return
	}
	skip := 0
	if total > maxScan {
		skip = int(uint64(w.tick) * MaxSeen % uint64(total))
	}
	left := min(total, maxScan)
	for i := 0; left > 0; i = (i + 1) % n {
		if skip >= len(lists[i]) {
			skip -= len(lists[i])
			continue
		}
		for _, q := range lists[i][skip:] {
			if left--; left < 0 {
				return
			}
			if q != p && q.s.player == q && p.sees(q) && !f(q) {
				return
			}
		}
		skip = 0
	}
}

// sees reports whether q is within the view of p.
func (p *Player) sees(q *Player) bool {
	dx, dy := p.x-q.x, p.y-q.y
	return dx*dx+dy*dy <= View*View
}
