package lvs

import (
	"fmt"
	"strings"
)

// Field is an attribute with its value as text, for people who compare states.
type Field struct{ Name, Value string }

// Fields lists the attributes of a service.
func (s *ServiceSpec) Fields() []Field {
	return []Field{
		{"scheduler", s.Scheduler},
		{"schedulerFlags", fmt.Sprint(s.SchedulerFlags)},
		{"onePacket", fmt.Sprint(s.OnePacket)},
		{"persistenceTimeout", fmt.Sprint(s.PersistenceTimeout)},
		{"persistenceNetmask", fmt.Sprint(s.PersistenceNetmask)},
		{"persistenceEngine", s.PersistenceEngine},
	}
}

// Fields lists the attributes of a server.
func (s *ServerSpec) Fields() []Field {
	return []Field{
		{"weight", fmt.Sprint(s.Weight)},
		{"forwarding", s.Forwarding.String()},
		{"upperThreshold", fmt.Sprint(s.UpperThreshold)},
		{"lowerThreshold", fmt.Sprint(s.LowerThreshold)},
		{"tunnelType", s.TunnelType.String()},
		{"tunnelPort", fmt.Sprint(s.TunnelPort)},
		{"tunnelFlags", fmt.Sprint(s.TunnelFlags)},
	}
}

// Contrast lists what differs between the fields of two objects of one kind.
func Contrast(want, have []Field) (names, desired, actual string) {
	var n, d, a []string
	for i := range want {
		if want[i] != have[i] {
			n = append(n, want[i].Name)
			d = append(d, want[i].Name+" "+want[i].Value)
			a = append(a, have[i].Name+" "+have[i].Value)
		}
	}
	return strings.Join(n, ", "), strings.Join(d, ", "), strings.Join(a, ", ")
}
