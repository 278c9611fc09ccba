package redisstore

// What the tests of the layout and of the scripts look at directly.
var (
	Encode      = encode
	Decode      = decode
	ParseReply  = parseReply
	Sources     = sources
	MaxNumber   = int64(maxNumber)
	ScriptNames = []string{
		"claim", "renew", "mark", "complete", "complete_large", "fail", "release", "settle", "inspect",
	}
)
