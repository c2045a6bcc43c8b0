#include "chain.h"

#include <stdlib.h>

LINK(link1, link2, 15)
LINK(link3, link4, 71)
LINK(link5, link6, 23)
LINK(link7, link8, 31)
LINK(link9, link10, 15)
LINK(link11, link12, 55)
LINK(link13, link14, 71)
LINK(link15, link16, 63)
LINK(link17, link18, 31)
LINK(link19, link20, 55)
LINK(link21, link22, 55)
LINK(link23, link24, 31)
LINK(link25, link26, 63)
LINK(link27, link28, 71)

void link29(struct trail *trail)
{
    trail->functions[trail->length] = "link29";
    trail->returns[trail->length] = __builtin_return_address(0);
    trail->block = malloc(1000);
    trail->length++;
}
