# The metadata service of a bare guest: one HTTP request on standard input, an answer from a table on standard output.
read -r method path _
while read -r line && [ "${#line}" -gt 1 ]; do :; done
case "$path" in
*/api/token) body=token ;;
*/instance-id) body=i-00000000000000000 ;;
*/local-hostname | */hostname) body=bare ;;
*/public-keys/) body=0=bench ;;
*/public-keys/0/openssh-key) body="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA bench" ;;
*) printf 'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'; exit ;;
esac
printf 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %s\r\nConnection: close\r\n\r\n%s' "${#body}" "$body"
