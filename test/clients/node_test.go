package clients

import (
	"path/filepath"
	"testing"
)

// TestNode is a tour with pkcs11js and graphene-pk11 in Node.js.
func TestNode(t *testing.T) {
	onEachModule(t, []string{"node"}, func(c *client) {
		root, err := repositoryRoot()
		if err != nil {
			c.t.Fatal(err)
		}
		packages := filepath.Join(root, "build", "clients", "js", "node_modules")
		if err := exists(filepath.Join(packages, "pkcs11js")); err != nil {
			missing(c.t, err.Error())
		}
		c.program([]string{"NODE_PATH=" + packages}, "node", c.source("js/tour.js"))
	})
}
