package main

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// words splits a line of the shell as the POSIX shell splits simple commands:
// blanks separate words, ' quotes everything, " everything but \" and \\, \ one
// character, and # at the beginning of a word starts a comment. There are no
// variables and no patterns.
func words(line string) ([]string, error) {
	s := split(line)
	if s.open != "" {
		return nil, errors.New("the line ends " + s.open)
	}
	if s.begun {
		s.words = append(s.words, s.word.String())
	}
	return s.words, nil
}

// splitter is where a line was split.
type splitter struct {
	words []string
	word  strings.Builder
	begun bool   // a word has begun, be it an empty one in quotes
	start int    // where in the line it began, in bytes
	open  string // what the end of the line leaves open
}

// split splits a line as far as it goes: the last word may be incomplete.
func split(line string) *splitter {
	s := new(splitter)
	var quote, escape rune
	for i, size := 0, 0; i < len(line); i += size {
		var r rune
		r, size = utf8.DecodeRuneInString(line[i:])
		text := line[i : i+size] // as it is, be it UTF-8 or not
		if !s.begun && quote == 0 && escape == 0 {
			if r == '#' {
				return s
			}
			s.start = i
		}
		switch {
		case escape != 0:
			if quote == '"' && r != '"' && r != '\\' {
				s.word.WriteRune('\\')
			}
			s.word.WriteString(text)
			escape = 0
		case r == '\\' && quote != '\'':
			escape, s.begun = r, true
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, s.begun = r, true
		case quote == 0 && unicode.IsSpace(r):
			if s.begun {
				s.words = append(s.words, s.word.String())
				s.word.Reset()
				s.begun = false
			}
		default:
			s.word.WriteString(text)
			s.begun = true
		}
	}
	switch {
	case escape != 0:
		s.open = `with a \ and nothing behind it`
	case quote != 0:
		s.open = "inside quotes: " + string(quote) + " is missing"
	}
	if !s.begun {
		s.start = len(line)
	}
	return s
}

// quoted is a word so that words gives it back.
func quoted(word string) string {
	plain := func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-_./:=,@%+", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
