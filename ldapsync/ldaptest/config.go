package ldaptest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/lcms-project/lcms/ldapsync/schema"
)

// schemas are those of OpenLDAP that the entries of LCMS need.
var schemas = []string{"core", "cosine", "nis", "inetorgperson"}

// configure writes slapd.conf and what it includes.
func (s *Server) configure() {
	s.t.Helper()
	s.write("password", s.password+"\n")
	s.write("lcms.schema", schema.Schema)
	var conf []string
	line := func(format string, args ...any) { conf = append(conf, fmt.Sprintf(format, args...)) }
	for _, name := range schemas {
		line("include %s", filepath.Join(first("/etc/ldap/schema", "/etc/openldap/schema"), name+".schema"))
	}
	line("include %s", s.path("lcms.schema"))
	line("modulepath %s", first("/usr/lib/ldap", "/usr/lib64/openldap", "/usr/lib/openldap"))
	for _, name := range append([]string{"back_mdb"}, schema.Modules...) {
		line("moduleload %s", name)
	}
	line("password-hash {ARGON2}")
	line("pidfile %s", s.path("slapd.pid"))
	line("argsfile %s", s.path("slapd.args"))
	// Who is on the Unix socket is told by the kernel.
	line(`authz-regexp "gidNumber=%d[+]uidNumber=%d,cn=peercred,cn=external,cn=auth" "%s"`, os.Getgid(), os.Getuid(), s.dn(Director))
	if s.opts.ServerID != 0 {
		line("serverID %d", s.opts.ServerID)
	}
	if s.opts.TLS {
		line("TLSCACertificateFile %s", s.CAFile())
		line("TLSCertificateFile %s", s.path("cert.pem"))
		line("TLSCertificateKeyFile %s", s.path("key.pem"))
	}
	line(`access to dn.base="" by * read`)
	line(`access to dn.base="cn=Subschema" by * read`)
	conf = append(conf, s.opts.Global...)
	line("database mdb")
	line("suffix %s", s.opts.Base)
	line("rootdn %s", s.Client.dn)
	line("rootpw %s", s.password)
	line("directory %s", s.path("db"))
	line("maxsize %d", 4<<30)
	if !s.opts.Durable {
		line("dbnosync")
	}
	if s.peer != nil {
		line("syncrepl rid=001 provider=%s type=refreshAndPersist retry=\"1 +\" searchbase=\"%s\" bindmethod=simple binddn=\"%s\" credentials=%s keepalive=1:1:1",
			s.peer.URI(), s.opts.Base, s.Client.dn, s.peer.password)
		line("multiprovider on")
	}
	conf = append(conf, s.database())
	conf = append(conf, s.opts.Database...)
	s.write("slapd.conf", strings.Join(conf, "\n")+"\n")
}

var sessionLog = regexp.MustCompile(`(?m)^syncprov-sessionlog .*\n`)

// database returns the shipped setting of the database with what the options
// change in it.
func (s *Server) database() string {
	text := schema.Rebase(schema.Database, s.opts.Base)
	switch {
	case s.opts.SessionLog < 0:
		text = sessionLog.ReplaceAllString(text, "")
	case s.opts.SessionLog > 0:
		text = sessionLog.ReplaceAllString(text, fmt.Sprintf("syncprov-sessionlog %d\n", s.opts.SessionLog))
	}
	if s.opts.NoSyncrepl {
		text, _, _ = strings.Cut(text, "overlay syncprov\n")
	}
	if s.opts.SizeLimit != 0 {
		identity := fmt.Sprintf("limits dn.base=%q ", s.dn(Director))
		text = strings.Replace(text, identity+"size=unlimited", fmt.Sprintf("%ssize=%d", identity, s.opts.SizeLimit), 1)
	}
	return text
}

// skeleton returns the shipped skeleton with the password of this server in
// every account, and with the managers.
func (s *Server) skeleton() string {
	text := strings.ReplaceAll(schema.Skeleton, "{CRYPT}*", s.password)
	for _, m := range managers {
		dn := string(m.identity) + "," + schema.Base
		text = strings.Replace(text, "cn: "+m.group+"\n", "cn: "+m.group+"\nmember: "+dn+"\n", 1)
		text += fmt.Sprintf("\ndn: %s\nobjectClass: inetOrgPerson\ncn: %s\nsn: %s\nuid: %[4]s\nmail: %[4]s@example.org\nuserPassword: %[5]s\n",
			dn, m.name, m.name[strings.Index(m.name, " ")+1:], m.uid(), s.password)
	}
	return schema.Rebase(text, s.opts.Base)
}

// first returns the first path that exists, else the first.
func first(paths ...string) string {
	for _, p := range paths {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	return paths[0]
}
