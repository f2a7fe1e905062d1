package world

// coinCount is how many coins lie on the field.
const coinCount = 32

// reach is how near a player must come to a coin.
const reach = 24

// A coin lies somewhere.
type coin struct{ x, y int }

// A Coin is the number of a coin and where it lies.
type Coin [3]int

// placeCoin puts a coin on the field.
func (w *World) placeCoin(i int) {
	w.coins[i] = coin{reach + w.draw(Size-2*reach), reach + w.draw(Size-2*reach)}
}

// findCoins gives each coin to a player who has reached it. Then the coin lies elsewhere.
func (w *World) findCoins() {
	for i, c := range w.coins {
		for _, p := range w.grid[c.x/View][c.y/View] {
			if dx, dy := p.x-c.x, p.y-c.y; dx*dx+dy*dy > reach*reach {
				continue
			}
			w.placeCoin(i)
			w.broadcast(Inventory, Message{Coins: []Coin{{i, w.coins[i].x, w.coins[i].y}}})
			p.have++
			if inv := p.s.channels[Inventory]; inv != nil {
				inv.send(Message{Have: &p.have})
			}
			break
		}
	}
}

// inventory returns all that a player has to know about coins. p may be nil.
func (w *World) inventory(p *Player) Message {
	m := Message{Have: new(int)}
	if p != nil {
		*m.Have = p.have
	}
	for i, c := range w.coins {
		m.Coins = append(m.Coins, Coin{i, c.x, c.y})
	}
	return m
}
