# A private slapd with the tree of LCMS in it, for demonstrations. A script sources
# this file after scripts/director.sh, whose variables it uses.
#
# It listens on a Unix socket in the folder of the script only.

base=dc=lcms,dc=dpnm,dc=postech,dc=edu
ldapi=          # its URI once it runs
slapd_pid=

# start_slapd FILE...: a slapd with the shipped schema, access rules and skeleton, the
# demo tree, the entries of the files, and the operator alice, whose password is demo.
# Who runs the script is the director there (SASL EXTERNAL).
start_slapd() {
	schema=$project/ldapsync/schema
	mkdir "$dir/slapd"
	{
		for name in core cosine nis inetorgperson; do echo "include /etc/ldap/schema/$name.schema"; done
		echo "include $schema/lcms.schema"
		echo "modulepath /usr/lib/ldap"
		for name in back_mdb argon2 constraint ppolicy refint syncprov; do echo "moduleload $name"; done
		cat <<-END
			pidfile $dir/slapd.pid
			serverID 1
			authz-regexp "gidNumber=$(id -g)[+]uidNumber=$(id -u),cn=peercred,cn=external,cn=auth" "uid=ldapsync,ou=service,$base"
			access to dn.base="" by * read
			database mdb
			suffix $base
			rootdn cn=admin,$base
			directory $dir/slapd
			maxsize 268435456
			dbnosync
			include $schema/database.conf
		END
	} >"$dir/slapd.conf"
	{
		sed "s/^\(cn: lcms-operators\)/\1\nmember: uid=alice,ou=manager,$base/" "$schema/skeleton.ldif"
		printf '\ndn: uid=alice,ou=manager,%s\nobjectClass: inetOrgPerson\nuid: alice\ncn: Alice Kim\nsn: Kim\nuserPassword: demo\n\n' "$base"
		cat "$schema/demo.ldif" "$@"
	} >"$dir/tree.ldif"
	slapadd -q -f "$dir/slapd.conf" -l "$dir/tree.ldif" >"$dir/slapd.log" 2>&1 || fail "slapadd: $(cat "$dir/slapd.log")"
	ldapi=ldapi://$(printf %s "$dir/ldapi" | sed 's,/,%2F,g')
	slapd -d 0 -f "$dir/slapd.conf" -h "$ldapi" >"$dir/slapd.log" 2>&1 &
	slapd_pid=$!
	tries=0
	until ldapwhoami -Q -Y EXTERNAL -H "$ldapi" >/dev/null 2>&1; do
		tries=$((tries + 1))
		kill -0 $slapd_pid 2>/dev/null && [ $tries -lt 300 ] || fail "slapd does not start: $(cat "$dir/slapd.log")"
		sleep 0.1
	done
}
