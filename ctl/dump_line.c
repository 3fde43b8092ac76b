#include "ctl/dump.h"
#include "ctl/output.h"
#include "lib/json.h"

struct strbuf *dump_begin(const char *type)
{
	struct strbuf *line = output_line();

	json_object_begin(line);
	json_add_string(line, "type", type);
	return line;
}

void dump_end(struct strbuf *line)
{
	json_object_end(line);
	output_end();
}
