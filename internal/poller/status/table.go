package status

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The colours of a terminal (ECMA-48, SGR). Every state is told by its word
// too.
const (
	plain  = "\x1b[0m"
	bold   = "\x1b[1m"
	green  = "\x1b[32m"
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
)

// cell is a text with a colour, "" = none.
type cell struct{ text, colour string }

// Write prints a status for people: the directors, the servers, and of the
// hosts those that do not answer.
func Write(w io.Writer, s Status, colours bool) error {
	b := &strings.Builder{}
	p := printer{b, colours}
	down, unknown := 0, 0
	for _, server := range s.Servers {
		switch {
		case server.Health == "down":
			down++
		case server.Health == "unknown" && server.Check != "none":
			unknown++
		}
	}
	var silent []Host
	for _, h := range s.Hosts {
		if h.Error != "" {
			silent = append(silent, h)
		}
	}
	fmt.Fprintf(b, "lcms-poller %s, up %s: %d servers, %d down, %d unknown; %d hosts, %d without load; %d checks late\n",
		s.Version, Age(s.Since, s.At), len(s.Servers), down, unknown, len(s.Hosts), len(silent), s.Checks.Late)
	if s.Isolated != "" {
		p.line(cell{"! " + s.Isolated, yellow})
	}
	b.WriteString("\n")
	rows := [][]cell{head("DIRECTOR", "ADDRESS", "STATE", "SERVICES", "SERVERS", "READ", "TOLD", "PROBLEM")}
	for _, d := range s.Directors {
		state := cell{"ok", green}
		problem := d.ReadError
		switch {
		case d.ReadError != "":
			state = cell{"away", red}
		case d.SendError != "":
			state, problem = cell{"deaf", yellow}, d.SendError
		}
		rows = append(rows, []cell{{d.Name, ""}, {d.Address, ""}, state, {strconv.Itoa(d.Services), ""}, {strconv.Itoa(d.Servers), ""},
			{Age(d.ReadAt, s.At), ""}, {Age(d.SentAt, s.At), ""}, {problem, ""}})
	}
	p.table(rows)
	rows = [][]cell{head("SERVICE", "SERVER", "HEALTH", "SINCE", "CHECKED", "BUSY", "CONN/S", "WEIGHT", "ADVISED", "OPER", "DETAIL", "WEIGHT REASON")}
	last := ""
	for _, r := range s.Servers {
		service := r.Service
		if service == last {
			service = ""
		}
		last = r.Service
		colour := map[string]string{"up": green, "down": red, "unknown": yellow}[r.Health]
		health := r.Health
		if r.Check == "none" {
			health, colour = "not checked", ""
		}
		rows = append(rows, []cell{{service, bold}, {r.Server, ""}, {health, colour}, {Age(r.Since, s.At), ""}, {Age(r.Checked, s.At), ""},
			{Percent(r.Busy), ""}, {rate(r), ""}, {strconv.Itoa(int(r.Weight)), ""}, {advised(r), ""}, {oper(r), ""}, {r.Detail, ""}, {r.Reason, ""}})
	}
	if len(rows) > 1 {
		b.WriteString("\n")
		p.table(rows)
	}
	if len(silent) > 0 {
		b.WriteString("\n")
		rows = [][]cell{head("HOST", "NAME", "LAST LOAD", "PROBLEM")}
		for _, h := range silent {
			rows = append(rows, []cell{{h.Address, ""}, {h.Name, ""}, {Age(h.At, s.At), ""}, {h.Error, red}})
		}
		p.table(rows)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func head(names ...string) []cell {
	cells := make([]cell, len(names))
	for i, n := range names {
		cells[i] = cell{n, bold}
	}
	return cells
}

func rate(r Server) string {
	if !r.Held {
		return "-"
	}
	return strconv.FormatFloat(r.Rate, 'f', 1, 64)
}

func advised(r Server) string {
	if r.Advised == 0 {
		return "-"
	}
	return strconv.Itoa(int(r.Advised))
}

func oper(r Server) string {
	if !r.Held {
		return "-"
	}
	return strconv.Itoa(int(r.Oper))
}

// Percent renders a part of the whole, "-" if it is not known.
func Percent(part float64) string {
	if part < 0 {
		return "-"
	}
	return strconv.Itoa(int(part*100+0.5)) + "%"
}

// Age renders how long something is ago, "-" for never.
func Age(at, now time.Time) string {
	if at.IsZero() {
		return "-"
	}
	switch d := max(0, now.Sub(at)); {
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + "s"
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d/time.Minute), int(d/time.Second)%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d/time.Hour), int(d/time.Minute)%60)
	default:
		return strconv.Itoa(int(d/(24*time.Hour))) + "d"
	}
}

type printer struct {
	b       *strings.Builder
	colours bool
}

func (p printer) line(c cell) {
	p.cell(c)
	p.b.WriteString("\n")
}

func (p printer) cell(c cell) {
	if p.colours && c.colour != "" && c.text != "" {
		p.b.WriteString(c.colour + c.text + plain)
		return
	}
	p.b.WriteString(c.text)
}

// table aligns the columns of rows.
func (p printer) table(rows [][]cell) {
	widths := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, c := range r {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	for _, r := range rows {
		for i, c := range r {
			p.cell(c)
			if i < len(r)-1 {
				p.b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text)+2))
			}
		}
		p.b.WriteString("\n")
	}
}
