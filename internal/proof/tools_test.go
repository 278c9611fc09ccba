package proof

import _ "github.com/anishathalye/porcupine"
