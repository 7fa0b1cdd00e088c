// Package documents reads what people have and writes what they want back.
//
// # Reading
//
// A [Reader] walks files, folders, glob patterns and standard input, in an
// order that is the same every time, and yields one [Item] per document:
//
//	reader, err := documents.NewReader(documents.Config{})
//	for item, problem := range reader.Read(ctx, "contracts", "invoices.csv") {
//		if problem != nil {
//			fmt.Fprintln(os.Stderr, problem) // and go on with the rest
//			continue
//		}
//		enqueue(item.CustomID, item.Document)
//	}
//
// What cannot be used becomes a [Problem]: where it is, what is wrong, and how
// to put it right. It never stops the others.
//
//	text, Markdown   a file is a document, in UTF-8 whatever it was before
//	HTML             a file is a document: its main content, as Markdown
//	PDF              a file is a document, a form feed between its pages
//	DOCX             a file is a document, as Markdown
//	PNG, JPEG, …     a file is an image, for models that see
//	JSON             a file is a document
//	CSV, TSV, XLSX   a row is a document, the header names its fields
//	Parquet          a row is a document, its columns are its fields
//	JSONL            a line is a document, its members are its fields
//	OpenAI batch     a line of JSONL is a ready request, kept byte for byte
//	zip              its members are read as if it were a folder
//
// A format is one file of this package with one entry in the table in
// format.go. The name of a file decides, else its first bytes.
//
// # Custom ids
//
// A document's custom id is what a result is found by, so it must not depend
// on where the command was started. A file's is its path below the deepest
// folder that holds every PATH given: a.txt for the folder contracts,
// 2024/a.txt for the folders 2023 and 2024. A row's is its custom_id or id
// column, a line's or a JSON file's its custom_id or id member, and without one
// the file's id and the line's number, as in invoices.csv:12. The second
// document with an id is a Problem that names the first.
//
// # Memory
//
// Reading takes constant memory however large a file or a folder is, except
// for telling duplicates apart: 16 bytes of hash and 8 of place per document,
// which makes about 35 in memory (measured), 7 MB for 200,000 documents.
// A document itself is at most [Config.MaxBody] long. Files that take long to
// read are begun before their turn: at most eight, as long as they have less
// than 64 MiB together.
//
// # Prompts and results
//
// A [Prompt] turns a document into the request that a model gets. [Results]
// and [BatchResults] write outcomes as lines of JSON, [CSVResults] as a table
// for spreadsheets, [WriteAtomically] puts them in place as a whole or not at
// all, and [Terminal] makes text from outside safe to show.
package documents
