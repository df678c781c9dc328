package main

import (
	"context"
	"slices"
	"time"

	"github.com/posteo/go-agentx"
	"github.com/posteo/go-agentx/pdu"
	"github.com/posteo/go-agentx/value"
)

// cell is one instance of the table.
type cell struct {
	name  value.OID
	kind  pdu.VariableType
	value any
}

// cells is a handler for go-agentx that is as fast as its interface allows: all
// instances in the order of their names, found by binary search.
type cells []cell

// find returns the place of the first instance that does not come before name.
func (c cells) find(name value.OID) (int, bool) {
	return slices.BinarySearchFunc(c, name, func(c cell, name value.OID) int { return value.CompareOIDs(c.name, name) })
}

// Get implements agentx.Handler.
func (c cells) Get(_ context.Context, name value.OID) (value.OID, pdu.VariableType, any, error) {
	if i, found := c.find(name); found {
		return c[i].name, c[i].kind, c[i].value, nil
	}
	return nil, pdu.VariableTypeNoSuchObject, nil, nil
}

// GetNext implements agentx.Handler.
func (c cells) GetNext(_ context.Context, from value.OID, include bool, to value.OID) (value.OID, pdu.VariableType, any, error) {
	i, found := c.find(from)
	if found && !include {
		i++
	}
	if i == len(c) || len(to) > 0 && value.CompareOIDs(c[i].name, to) >= 0 {
		return nil, pdu.VariableTypeNoSuchObject, nil, nil
	}
	return c[i].name, c[i].kind, c[i].value, nil
}

// makeCells makes the instances of the table.
func makeCells(rows []row) cells {
	changed := "\x07\xea\x0b\x17\x0e\x00\x00\x00+\x00\x00"
	kinds := []struct {
		kind  pdu.VariableType
		value any
	}{
		{pdu.VariableTypeOctetString, nil},
		{pdu.VariableTypeInteger, int32(1)},
		{pdu.VariableTypeGauge32, defaultWeight},
		{pdu.VariableTypeGauge32, defaultWeight},
		{pdu.VariableTypeInteger, int32(1)},
		{pdu.VariableTypeOctetString, changed},
		{pdu.VariableTypeCounter64, uint64(0)},
		{pdu.VariableTypeCounter64, uint64(0)},
		{pdu.VariableTypeCounter64, uint64(0)},
		{pdu.VariableTypeGauge32, uint32(0)},
	}
	var c cells
	for i, column := range columns {
		for _, r := range rows {
			v := kinds[i].value
			if v == nil {
				v = string(r.address.AsSlice())
			}
			c = append(c, cell{value.OID(column.child(r.index()...)), kinds[i].kind, v})
		}
	}
	return c
}

// goAgentXCommand starts the bench itself as a provider, followed by socket,
// rows, and servers per service.
const goAgentXCommand = "serve-go-agentx"

// serveGoAgentX is the program of the provider go-agentx. It does not return
// unless it cannot connect.
func serveGoAgentX(socket string, rows []row) error {
	client, err := agentx.Dial("unix", socket, agentx.WithTimeout(30*time.Second))
	if err != nil {
		return err
	}
	session, err := client.Session(value.OID(root), "go-agentx", makeCells(rows))
	if err != nil {
		return err
	}
	if err := session.Register(127, value.OID(root)); err != nil {
		return err
	}
	select {}
}
