#pragma once
/*
 * The exit statuses that mean that a process never came to its program: systemd.exec(5), "Process
 * Exit Codes".
 */

/* "EXEC" for 203, …: the word for a status of 200 and more, or NULL. */
const char *setup_status_name(int status);
